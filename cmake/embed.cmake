# looplm_embed(TARGET FOLDER FUNCTION FILE...): compiles files into a target. FUNCTION, declared in FOLDER.h beside the folder, gives
# them as a span of EmbeddedFile (base/embedded_file.h), so that the program needs nothing beside itself to serve them.
function(looplm_embed target folder function)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${folder}_files.cc)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/ OUTPUT_VARIABLE paths)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -D "OUTPUT=${source}" -D "FUNCTION=${function}" -D "FILES=${paths}" -P
            ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
