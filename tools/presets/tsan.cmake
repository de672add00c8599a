# Data races are reported. Libraries and drivers that were not built so are seen only in part.
# cmake -C tools/presets/tsan.cmake -S . -B build/tsan -G Ninja, or tools/scripts/build.sh --preset tsan
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=thread -fno-omit-frame-pointer" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g" CACHE STRING "")
set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON CACHE BOOL "")
