# Writes OUTPUT from version.cpp.in, if its text changes: VERSION, COMPILER and BUILD_TYPE are given, the commit is that of the checkout SOURCE.
# cmake -DSOURCE=... -DOUTPUT=... -DVERSION=... -DCOMPILER=... -DBUILD_TYPE=... -P engine/base/version.cmake
set(COMMIT "")
find_program(GIT git)
if(GIT)
  set(git ${GIT} --no-optional-locks -c safe.directory=* -C ${SOURCE})
  execute_process(COMMAND ${git} rev-parse --show-toplevel OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  get_filename_component(source ${SOURCE} REALPATH)
  if(top STREQUAL source)  # and not a checkout of something else, which our files were unpacked into
    execute_process(COMMAND ${git} describe --always --dirty --abbrev=7 --exclude=* OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE
                    ERROR_QUIET)
  endif()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/version.cpp.in ${OUTPUT} @ONLY)
