#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""deblur.py INPUT OUTPUT [WEIGHTS]: deblurs a picture or video into a lossless file (FFV1 in Matroska).

Needs python3-gi and gir1.2-gstreamer-1.0; shows how errors, progress and statistics reach a program.
"""
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402


def on_message(_bus, message, loop, state):
    if message.type == Gst.MessageType.ERROR:
        error, _detail = message.parse_error()
        state["error"] = f"{message.src.get_name()}: {error.message}"
        loop.quit()
    elif message.type == Gst.MessageType.WARNING:
        error, _detail = message.parse_warning()
        print(f"warning of {message.src.get_name()}: {error.message}", file=sys.stderr)
    elif message.type == Gst.MessageType.EOS:
        loop.quit()


def main():
    Gst.init(None)
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: deblur.py INPUT OUTPUT.mkv [WEIGHTS]")
    try:
        pipeline = Gst.parse_launch(
            "filesrc name=source ! decodebin ! videoconvert ! deblurunet name=deblur ! videoconvert "
            "! avenc_ffv1 ! matroskamux ! filesink name=sink"
        )
    except GLib.Error as error:  # an element is not installed
        sys.exit(f"deblur.py: {error.message}")
    pipeline.get_by_name("source").set_property("location", sys.argv[1])
    pipeline.get_by_name("sink").set_property("location", sys.argv[2])
    deblur = pipeline.get_by_name("deblur")
    if len(sys.argv) == 4:
        deblur.set_property("weights", sys.argv[3])

    loop, state = GLib.MainLoop(), {}
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message, loop, state)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    stats = deblur.get_property("stats")
    pipeline.set_state(Gst.State.NULL)
    bus.remove_signal_watch()
    if "error" in state:
        sys.exit(f"deblur.py: {sys.argv[1]}: {state['error']}")
    print(f"{stats.get_value('frames')} frames on {stats.get_value('device')} with {stats.get_value('weights')}")


if __name__ == "__main__":
    main()
