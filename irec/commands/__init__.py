"""The commands that need no Lightning: compress, decompress, inspect, export, benchmark.

``irec.commands.app`` is the whole command line. torch takes seconds to import, so that commands
import what they work with only when they run: ``irec --help`` answers at once.
"""
