"""The parts of a test run: the driver, the tests, the share of the time, and the minimum number of tests.

A share is of the time that is left when the part begins, among the parts that are still to come, so time that a part does not need
goes to later parts. A part that has not reached its minimum at the end of its share continues until it has.
"""
import collections
import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    about: str
    label: str  # the ctest label of its tests; "" for tests without one
    share: float  # of the time, relative to the other parts
    wide: int  # first every wide-th of a test's parameters, then the others
    minimum: int  # tests that have to pass
    driver: str = ""  # environment variable that holds the driver's file; "" needs none
    environment: tuple = ()  # of (name, value)
    wrapper: tuple = ()  # goes before a program; exit code 77: there is no such driver
    only: str = ""  # a pattern that the names of the tests match
    scripts_first: bool = True  # tests of the command belong to the wide pass


VALIDATION = (
    ("VK_INSTANCE_LAYERS", "VK_LAYER_KHRONOS_validation"),
    # The layer's switch for synchronization checks was renamed; set both names.
    ("VK_LAYER_VALIDATE_SYNC", "true"),
    ("VK_LAYER_ENABLES", "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT"),
)

PARTS = (
    Part("host", "tests that need no device, and sanitizers over them", label="", share=20, wide=1, minimum=200),
    Part("lavapipe", "all tests under the Khronos validation layer, core and synchronization", label="device", share=50, wide=8, minimum=400,
         driver="LAPILLI_LAVAPIPE_ICD", environment=VALIDATION),
    Part("mesa-26", "16-bit training and cooperative matrices, on the lavapipe of Mesa 26.1", label="device", share=16, wide=16, minimum=60,
         wrapper=("tools/scripts/with_mesa26.sh",), only=r"oopmat|Training|Golden|Tuning|LossTiles|Distillation"),
    Part("swiftshader", "another vendor's driver: 4 lanes, no 16-bit types", label="device", share=10, wide=8, minimum=150,
         driver="LAPILLI_SWIFTSHADER_ICD", scripts_first=False),
    # No validation layer: Debian 12's does not support the SPIR-V of cooperative matrices. Nothing runs here; the modules were
    # validated when they were built.
    Part("radv", "every kernel through AMD's compiler, without a card", label="radv", share=14, wide=1, minimum=2, driver="LAPILLI_RADV_ICD"),
)


def driver_environment(part):
    """-> environment for the part's driver, or None if the driver is not installed"""
    if not part.driver:
        return dict(part.environment)
    driver = os.environ.get(part.driver, "")
    return {"VK_DRIVER_FILES": driver, "VK_ICD_FILENAMES": driver} | dict(part.environment) if driver else None


def split_by_width(cases, wide, turn):
    """-> (wide, deep) of `cases`, a list of (file, name): all tests without parameters and of the others every wide-th case, at least one,
    the first of which depends on `turn`; and what is left. Both in the order of `cases`."""
    of_test = collections.defaultdict(list)  # test without its parameter -> its cases
    for case in cases:
        of_test[case[1].rpartition("/")[0] if "/" in case[1].partition(".")[2] else case[1]].append(case)
    first = set()
    for same in of_test.values():
        step = min(wide, len(same))
        first.update(same[turn % step::step])
    return [case for case in cases if case in first], [case for case in cases if case not in first]
