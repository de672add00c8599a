# Memory errors and undefined behaviour end the program where they happen.
# cmake -C tools/presets/asan.cmake -S . -B build/asan -G Ninja, or tools/scripts/build.sh --preset asan
# Drivers keep memory until the process ends: on a device run with ASAN_OPTIONS=detect_leaks=0.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g" CACHE STRING "")
set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON CACHE BOOL "")
