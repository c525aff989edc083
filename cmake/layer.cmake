# looplm_sources(OUT ROOT FILES...): what to compile for these sources. With LOOPLM_UNITY it is generated files that include up to 16
# sources of a folder each, so that headers are read once for all of them. A source with compile options of its own, or with
# SKIP_UNITY_BUILD_INCLUSION because its names would clash, stays alone. Sources are named relative to ROOT, one of the include
# directories, so that the compiler cache serves other checkouts too.
function(looplm_sources out root)
  set(compiled "")
  set(folders "")
  foreach(file ${ARGN})
    get_source_file_property(own_options ${file} COMPILE_OPTIONS)
    get_source_file_property(alone ${file} SKIP_UNITY_BUILD_INCLUSION)
    if(own_options OR alone OR NOT LOOPLM_UNITY)
      list(APPEND compiled ${file})
      continue()
    endif()
    file(RELATIVE_PATH path ${root} ${file})
    get_filename_component(folder ./${path} DIRECTORY)
    list(APPEND folders ${folder})
    list(APPEND paths_${folder} ${path})
  endforeach()
  list(REMOVE_DUPLICATES folders)
  foreach(folder ${folders})
    set(paths ${paths_${folder}})
    # About the same number of sources in each, so that no processor waits for the longest.
    list(LENGTH paths count)
    math(EXPR files "(${count} + 15) / 16")
    math(EXPR count "(${count} + ${files} - 1) / ${files}")
    while(paths)
      list(SUBLIST paths 0 ${count} joined)
      list(REMOVE_ITEM paths ${joined})
      list(GET joined 0 first)
      list(TRANSFORM joined REPLACE ".+" "#include \"\\0\"\n")
      list(JOIN joined "" includes)
      # Leaves a file alone that is the same already, and then nothing is compiled again.
      file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/unity/${first} CONTENT "${includes}" @ONLY)
      list(APPEND compiled ${PROJECT_BINARY_DIR}/unity/${first})
    endwhile()
  endforeach()
  set(${out} ${compiled} PARENT_SCOPE)
endfunction()

# looplm_wait(TARGET): the target's code waits for what others compute, so it is optimised a little, and under sanitizers not at all:
# a compiler takes twice as long to optimise what a sanitizer watches.
function(looplm_wait target)
  if(LOOPLM_SANITIZE)
    target_compile_options(${target} PRIVATE -O0 -Wno-return-type)
  else()
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

# looplm_layer(NAME DEPENDS ... LIBRARIES ...): the static library looplm_NAME from this folder's sources, and a test program
# NAME_test from its *_test.cc files.
#   DEPENDS       layers below this one
#   LIBRARIES     external libraries
#   EXCLUDE       patterns of sources that are not the library's
#   TEST_SECONDS  about how long the tests take, if long: ctest starts the longest first, and no processor waits for them at the end
function(looplm_layer name)
  cmake_parse_arguments(LAYER "" "TEST_SECONDS" "DEPENDS;LIBRARIES;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  foreach(pattern ${LAYER_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()

  get_filename_component(root ${CMAKE_CURRENT_SOURCE_DIR} DIRECTORY)
  looplm_sources(sources ${root} ${sources})
  add_library(looplm_${name} STATIC ${sources})
  target_include_directories(looplm_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                                                   ${PROJECT_SOURCE_DIR}/src)
  foreach(dependency ${LAYER_DEPENDS})
    target_link_libraries(looplm_${name} PUBLIC looplm_${dependency})
  endforeach()
  target_link_libraries(looplm_${name} PUBLIC ${LAYER_LIBRARIES})
  # libFuzzer counts branches in the layers that its targets test. Counting them in all would take up to a sixth of the compile time.
  if(LOOPLM_FUZZ AND name MATCHES "^(base|text|chat|model|train|eval)$")
    target_compile_options(looplm_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  # Under sanitizers only what computes in the tests is worth optimising: schemas too, and chat, whose templates call themselves 200 deep and
  # otherwise take more than a thread's stack. Without optimising, GCC does not see that a failed LOOPLM_CHECK never returns.
  if(LOOPLM_SANITIZE AND NOT name MATCHES "^(tensor|kernels|text|grammar|chat|infer)$")
    target_compile_options(looplm_${name} PRIVATE -O0 -Wno-return-type)
  endif()

  if(LOOPLM_TESTS AND tests)
    looplm_sources(tests ${root} ${tests})
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE looplm_${name} looplm_test_support GTest::gmock
                                               GTest::gtest GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE -O0)  # it waits for what it tests; a third of its compile time is saved
    if(LOOPLM_SANITIZE)
      target_compile_definitions(${name}_test PRIVATE LOOPLM_SANITIZED)
    endif()
    target_compile_definitions(${name}_test
                               PRIVATE LOOPLM_GOLDEN_DIR="tests/golden")
    # From the project's folder, so that no path of this checkout is compiled in: the compiler cache serves other checkouts too.
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 1800)
    if(LAYER_TEST_SECONDS)
      set_tests_properties(${name} PROPERTIES COST ${LAYER_TEST_SECONDS})
    endif()
  endif()
endfunction()
