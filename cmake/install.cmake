# What `cmake --install` puts where, the CMake package looplm with its one target looplm::looplm, and Debian packages (cpack -G DEB).
# Three parts: the program with the files that it finds beside itself, the studies' program, and the C++ library.
include(CMakePackageConfigHelpers)

set(data ${CMAKE_INSTALL_DATADIR}/looplm)
install(TARGETS looplm COMPONENT program)
install(DIRECTORY models/small models/chat DESTINATION ${data}/models COMPONENT program)
install(DIRECTORY tasks DESTINATION ${data} COMPONENT program)
install(FILES models/recipe/held-out.jsonl DESTINATION ${data}/models/recipe COMPONENT program)  # of the tasks of sums
install(FILES packaging/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME looplm COMPONENT program)
install(FILES packaging/looplm.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
# Not started by itself: systemctl enable --now looplm.
install(FILES packaging/looplm.service DESTINATION lib/systemd/system COMPONENT program)
install(FILES packaging/looplm.default packaging/haproxy.cfg packaging/grafana.json packaging/Containerfile
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT program)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright COMPONENT program)
if(LOOPLM_EXPERIMENTS)
  install(TARGETS looplm-experiment COMPONENT experiment OPTIONAL)
  install(DIRECTORY studies DESTINATION ${data} COMPONENT experiment)
  install(FILES models/recipe/held-out-glosses.txt DESTINATION ${data}/models/recipe COMPONENT experiment)
endif()

# The layers as one archive: a program that links it needs none of our targets, only the libraries that find_dependency brings.
add_library(looplm_library STATIC ${looplm_isa_objects})
add_library(looplm::looplm ALIAS looplm_library)
set_target_properties(looplm_library PROPERTIES OUTPUT_NAME looplm EXPORT_NAME looplm LINKER_LANGUAGE CXX)
foreach(layer base tensor kernels text grammar chat model infer train)
  target_sources(looplm_library PRIVATE $<TARGET_OBJECTS:looplm_${layer}>)
endforeach()
target_include_directories(looplm_library INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(looplm_library INTERFACE cxx_std_20)
target_link_libraries(looplm_library PRIVATE fmt::fmt Threads::Threads PkgConfig::PCRE2 PkgConfig::ZSTD ICU::uc ZLIB::ZLIB
                                             tomlplusplus::tomlplusplus)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/looplm)
install(DIRECTORY include/looplm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(TARGETS looplm_library EXPORT looplm COMPONENT development)
install(EXPORT looplm NAMESPACE looplm:: FILE looplm-targets.cmake DESTINATION ${package}
        COMPONENT development)
configure_package_config_file(packaging/looplm-config.cmake.in ${PROJECT_BINARY_DIR}/looplm-config.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/looplm-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/looplm-config.cmake ${PROJECT_BINARY_DIR}/looplm-config-version.cmake
        DESTINATION ${package} COMPONENT development)

set(CPACK_PACKAGE_NAME looplm)
set(CPACK_PACKAGE_CONTACT "the looplm developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)
if(LOOPLM_EXPERIMENTS)
  list(APPEND CPACK_COMPONENTS_ALL experiment)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME looplm)
set(CPACK_DEBIAN_EXPERIMENT_PACKAGE_NAME looplm-experiment)
set(CPACK_DEBIAN_EXPERIMENT_PACKAGE_DEPENDS "looplm (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_EXPERIMENT_PACKAGE_RECOMMENDS gnuplot-nox)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME liblooplm-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libfmt-dev, libpcre2-dev, libicu-dev, libtomlplusplus-dev, libzstd-dev, zlib1g-dev, pkg-config")
include(CPack)
