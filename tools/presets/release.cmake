# The build that tools/scripts/build.sh makes, in a folder of its own.
# cmake -C tools/presets/release.cmake -S . -B build/release -G Ninja, or tools/scripts/build.sh --preset release
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
