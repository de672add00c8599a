"""The result of each test, and the summary of a run."""
import collections
import dataclasses
import re
import threading

# A test with messages of the Vulkan validation layer in its output has failed, whatever its own result.
COMPLAINT = re.compile(r"^.*(?:Validation Error|VUID-|SYNC-HAZARD|UNASSIGNED-|\[error\] validation:).*$", re.MULTILINE)
SHOWN_OUTPUT = 20_000  # characters of a failed test's output, from its end


@dataclasses.dataclass
class Result:
    name: str
    verdict: str  # passed, failed or skipped
    reason: str = ""  # of a failure or a skip
    seconds: float = 0.0
    output: str = ""


def judge(name, verdict, seconds, output, reason=""):
    """The result of a test that ended, including messages of the validation layer."""
    complaint = COMPLAINT.search(output)
    if complaint:
        verdict, reason = "failed", "validation: " + complaint.group(0).strip()[:300]
    return Result(name, verdict, reason, seconds, output)


class Collector:
    """The results of one part. Several threads add to it; a failure is shown at once."""

    def __init__(self, show=lambda text: print(text, flush=True)):
        self.results = []
        self._show = show
        self._lock = threading.Lock()

    def add(self, result):
        with self._lock:
            self.results.append(result)
            if result.verdict == "failed":
                self._show(f"\n-- FAILED {result.name}: {result.reason}\n{result.output[-SHOWN_OUTPUT:]}")

    def count(self, verdict):
        with self._lock:
            return sum(result.verdict == verdict for result in self.results)


def by_reason(results):
    """-> {reason: [test name, ...]}, in the order of the reasons' text"""
    named = collections.defaultdict(list)
    for result in results:
        named[result.reason].append(result.name)
    return dict(sorted(named.items()))


def some_of(names, shown=3):
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
