"""Reads a trace that `lapilli` wrote and checks the properties that viewers rely on."""
import json

HOST, DEVICE = 1, 2
NS = 1e-3  # times are in microseconds, in whole nanoseconds


class Trace:
    """The steps of a trace: `host` and `device` are (step event, its inner events), the device's in two levels."""

    def __init__(self, test, text):
        trace = json.loads(text)
        self.metadata = trace["otherData"]
        events = trace["traceEvents"]
        test.assertEqual({e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}, {HOST: "host", DEVICE: "device"})
        complete = [e for e in events if e["ph"] == "X"]
        test.assertEqual(len(complete) + 4, len(events), "complete events and the names of two tracks, nothing else")
        self.host = self.steps(test, [e for e in complete if e["pid"] == HOST])
        self.device = self.steps(test, [e for e in complete if e["pid"] == DEVICE])

    @staticmethod
    def steps(test, events):
        """Checks that a track's events are in order and nest, and gives (event, depth) by step."""
        found, open_ends, last_begin = [], [], -1
        for event in events:
            begin, end = event["ts"], event["ts"] + event["dur"]
            test.assertGreaterEqual(event["dur"], 0)
            test.assertGreaterEqual(begin, last_begin - NS / 2, event)
            while open_ends and begin > open_ends[-1] - NS / 2 and not (event["dur"] == 0 and begin < open_ends[-1] + NS / 2):
                open_ends.pop()
            if open_ends:
                test.assertLess(end, open_ends[-1] + NS / 2, f"an event reaches beyond the one it is in: {event}")
            if event["name"] == "step":
                test.assertEqual(open_ends, [])
                found.append((event, []))
            else:
                found[-1][1].append((event, len(open_ends)))
            open_ends.append(end)
            last_begin = begin
        return found

    def device_scopes(self):
        """{scope: [calls, microseconds]} over all steps, named as in tables."""
        sums = {}
        for _, inner in self.device:
            part = None
            for index, (event, depth) in enumerate(inner):
                if depth == 1:
                    part = event["name"]
                    if index + 1 < len(inner) and inner[index + 1][1] == 2:
                        continue  # checked by its scopes
                name = part if event["name"] == part else f"{part}/{event['name']}"
                sum_ = sums.setdefault(name, [0, 0.0])
                sum_[0] += event["args"]["calls"]
                sum_[1] += event["dur"]
        return sums
