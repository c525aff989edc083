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
if(LOOPLM_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-subobject-linkage)  # it takes a source that is included for a header
  # GCC collects its own garbage from 128 MB on. From 1 GB on, three files took up to a seventh less time; 512 MB spares memory.
  add_compile_options(--param=ggc-min-heapsize=524288)
endif()
if(LOOPLM_WERROR)
  add_compile_options(-Werror)
endif()

# No contraction: a*b+c is fused exactly where the code says fma, so that two code paths which must agree bit for bit do.
add_compile_options(-ffp-contract=off -fno-math-errno)
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g")
if(LOOPLM_SANITIZE)
  # Lines for reports, named relative to the project, so that the compiler cache serves other checkouts too.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  add_compile_options(-fdebug-prefix-map=${PROJECT_SOURCE_DIR}=. -fsanitize=${LOOPLM_SANITIZE}
                      -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LOOPLM_SANITIZE})
  if(LOOPLM_SANITIZE MATCHES "thread")
    # ThreadSanitizer knows no fences, and GCC refuses them. Asio's only double what its locks order.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
# Kernels for the instruction sets of x86; under sanitizers only the portable ones, whose loads and stores the compiler sees.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT LOOPLM_SANITIZE)
  set(LOOPLM_X86_KERNELS ON)
endif()
