# For a debugger: nothing is optimised, assertions of the libraries are on.
# cmake -C tools/presets/debug.cmake -S . -B build/debug -G Ninja, or tools/scripts/build.sh --preset debug
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "-D_GLIBCXX_ASSERTIONS" CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g -fno-omit-frame-pointer" CACHE STRING "")
