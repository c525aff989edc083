# Flags for every target, and the tools that only make the build faster.

find_program(LOOPLM_CCACHE ccache)
if(LOOPLM_CCACHE)
  # Paths relative to the project, so that what one checkout compiled serves another.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${LOOPLM_CCACHE})
endif()
find_program(LOOPLM_MOLD mold)
if(LOOPLM_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
                    -Woverloaded-virtual -Wundef)
if(LOOPLM_WERROR)
  add_compile_options(-Werror)
endif()

# No contraction: a*b+c is fused exactly where the code says fma, so that two code paths which must agree bit for bit do.
add_compile_options(-ffp-contract=off -fno-math-errno)
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g")
if(LOOPLM_FUZZ)
  # Debug information holds this checkout's path, so that the compiler cache could not serve another one. The preset "asan" replays findings
  # with lines.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1")
endif()

if(LOOPLM_SANITIZE)
  add_compile_options(-fsanitize=${LOOPLM_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LOOPLM_SANITIZE})
endif()
if(LOOPLM_FUZZ)
  # Code coverage in the libraries; only the fuzz targets bring libFuzzer's main.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
