# Another compiler and its warnings; every file includes what it uses, for no header is precompiled.
# cmake -C tools/presets/clang.cmake -S . -B build/clang -G Ninja, or tools/scripts/build.sh --preset clang
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
find_program(found_clang NAMES clang++-22 clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 clang++)
if(found_clang)
  execute_process(COMMAND ${found_clang} -dumpversion OUTPUT_VARIABLE clang_version OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT found_clang OR clang_version VERSION_LESS 14)
  message(FATAL_ERROR "This needs clang 14 or newer (Debian, Ubuntu: apt install clang)")
endif()
set(CMAKE_CXX_COMPILER ${found_clang} CACHE FILEPATH "")
set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON CACHE BOOL "")
