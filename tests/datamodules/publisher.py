"""A publisher of data sets on this machine: an HTTP server whose connections can be made bad."""

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Publisher:
    """Serves `files`, and notes what is asked for.

    Attributes:
        files: name -> contents.
        requests: name and Range header of every request so far.
        cut_after: the connection of each of the next requests is cut after so many bytes.
        statuses: the next requests are answered with these, and nothing else.
        knows_ranges: whether it can send a part of a file.
        sends_length: whether it says how long a file is.
        content_type: of everything.
    """

    def __init__(self):
        self.files = {}
        self.requests = []
        self.cut_after = []
        self.statuses = []
        self.knows_ranges = True
        self.sends_length = True
        self.content_type = "application/octet-stream"
        self.address = None

    def url(self, name):
        return f"{self.address}/{name}"


@contextlib.contextmanager
def serve():
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, publisher)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.address = f"http://127.0.0.1:{server.server_port}"
    # Asked more often than by default whether it shall stop, or each test takes half a second.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler, publisher):
    name = handler.path.removeprefix("/")
    wanted = handler.headers["Range"]
    publisher.requests.append((name, wanted))
    if publisher.statuses:
        return handler.send_error(publisher.statuses.pop(0))
    if name not in publisher.files:
        return handler.send_error(404)
    data = publisher.files[name]
    first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
    if publisher.knows_ranges and wanted and first >= len(data):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(data)}")
        return handler.end_headers()
    is_part = publisher.knows_ranges and wanted
    body = data[first:] if is_part else data
    handler.send_response(206 if is_part else 200)
    if is_part:
        handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
    if publisher.sends_length:
        handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Content-Type", publisher.content_type)
    handler.end_headers()
    handler.wfile.write(body[: publisher.cut_after.pop(0)] if publisher.cut_after else body)
