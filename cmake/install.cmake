# What `cmake --install` puts where. Everything is found relative to the libraries, so that the installed
# folder may be moved as a whole:
#   <libdir>/            libdeisa.so, libdeisa_mpi.so, libdeisa_gloo.so, libdeisa_fortran.so, libdeisa_node.so,
#                        libdeisa_yaml.so, libdeisa_adios2.so
#   <libdir>/cmake/deisa find_package(deisa); <libdir>/pkgconfig: pkg-config
#   include/deisa/       the headers
#   bin/deisa-info       what is there, and what is missing
#   <libdir>/deisa/modules  Fortran's module files
#   share/deisa/         LICENSE, deisa-bridge.jar, maven: a repository, python/deisa_bridge, fortran: sources of the module,
#                        modulefiles: for Environment Modules and Lmod
include(CMakePackageConfigHelpers)

set(DEISA_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/deisa)
set(DEISA_PKGCONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# deisa_install_component(NAME TARGET): a library, in an export file of its own: a project loads only the
# components that it asks for, and so needs only their dependencies.
function(deisa_install_component component target)
  install(TARGETS ${target} EXPORT deisa_${component} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT deisa_${component} NAMESPACE deisa:: DESTINATION ${DEISA_PACKAGE_DIR}
    FILE deisa-${component}.cmake)
endfunction()

# deisa_install_pkgconfig(NAME DESCRIPTION LIBS REQUIRES [CFLAGS])
function(deisa_install_pkgconfig name description libs requires)
  set(cflags "${ARGN}")
  file(RELATIVE_PATH to_prefix /prefix/${DEISA_PKGCONFIG_DIR} /prefix)
  string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
  configure_file(${PROJECT_SOURCE_DIR}/cmake/deisa.pc.in ${PROJECT_BINARY_DIR}/cmake/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/cmake/${name}.pc DESTINATION ${DEISA_PKGCONFIG_DIR})
endfunction()

deisa_install_component(core deisa)
deisa_install_pkgconfig(deisa "connects a running simulation to deisa-ray analytics" "-ldeisa" "")
install(FILES include/deisa/deisa.h include/deisa/deisa.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/deisa)
install(DIRECTORY include/deisa/cpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/deisa FILES_MATCHING PATTERN "*.hpp")
# libdeisa tells the node actor to load this one, from beside itself.
install(TARGETS deisa_node LIBRARY NAMELINK_SKIP)
# libdeisa opens this one, from beside itself, for a settings file in YAML.
if(TARGET deisa_yaml)
  install(TARGETS deisa_yaml LIBRARY NAMELINK_SKIP)
endif()

# ADIOS2 opens this one, by ADIOS2_PLUGIN_PATH.
if(TARGET deisa_adios2)
  install(TARGETS deisa_adios2 DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

if(TARGET deisa_mpi)
  deisa_install_component(mpi deisa_mpi)
  deisa_install_pkgconfig(deisa-mpi "MPI communicator of deisa; compile with MPI's own wrapper" "-ldeisa_mpi"
    deisa)
  install(FILES include/deisa/deisa_mpi.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/deisa)
endif()
if(TARGET deisa_gloo)
  deisa_install_component(gloo deisa_gloo)
  deisa_install_pkgconfig(deisa-gloo "communicator of deisa without MPI" "-ldeisa_gloo" deisa)
  install(FILES include/deisa/deisa_gloo.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/deisa)
endif()

if(TARGET deisa_fortran)
  deisa_install_component(fortran deisa_fortran)
  # Module files are good for one compiler; others compile the sources.
  get_target_property(modules deisa_fortran Fortran_MODULE_DIRECTORY)
  install(DIRECTORY ${modules}/ DESTINATION ${CMAKE_INSTALL_LIBDIR}/deisa/modules FILES_MATCHING PATTERN "*.mod")
  get_target_property(sources deisa_fortran SOURCES)
  list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/native/fortran/ REGEX "^[^/]")
  install(FILES ${sources} native/fortran/glue.h DESTINATION ${CMAKE_INSTALL_DATADIR}/deisa/fortran)
  deisa_install_pkgconfig(deisa-fortran "Fortran module of deisa, for ${CMAKE_Fortran_COMPILER_ID} compilers"
    "-ldeisa_fortran" deisa "-I\${libdir}/deisa/modules")
endif()

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/deisa)
configure_file(dev/packaging/modulefile.in ${PROJECT_BINARY_DIR}/cmake/modulefile @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cmake/modulefile DESTINATION ${CMAKE_INSTALL_DATADIR}/deisa/modulefiles/deisa
  RENAME ${PROJECT_VERSION})
if(TARGET deisa_info)
  install(TARGETS deisa_info)
endif()

configure_package_config_file(cmake/deisaConfig.cmake.in ${PROJECT_BINARY_DIR}/cmake/deisaConfig.cmake
  INSTALL_DESTINATION ${DEISA_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/deisaConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cmake/deisaConfig.cmake ${PROJECT_BINARY_DIR}/cmake/deisaConfigVersion.cmake
  DESTINATION ${DEISA_PACKAGE_DIR})

install(DIRECTORY python/deisa_bridge DESTINATION ${CMAKE_INSTALL_DATADIR}/deisa/python
  FILES_MATCHING PATTERN "*.py" PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)
# Maven makes the jar, after this build: it is looked for when installing.
set(DEISA_JAR ${PROJECT_SOURCE_DIR}/java/target/deisa-bridge-${PROJECT_VERSION}.jar)
install(CODE "
  if(NOT EXISTS \"${DEISA_JAR}\")
    message(WARNING \"${DEISA_JAR} is not there, and so is not installed: without it no simulation reaches \"
      \"Ray. Build it (mvn -DskipTests verify) and install again, or set DEISA_JAR to it at run time.\")
  endif()")
install(FILES ${DEISA_JAR} DESTINATION ${CMAKE_INSTALL_DATADIR}/deisa RENAME deisa-bridge.jar OPTIONAL)

# A Maven repository, for Java simulations: its address is file:///<prefix>/share/deisa/maven.
set(maven ${CMAKE_INSTALL_DATADIR}/deisa/maven/io/deisa)
set(bridge deisa-bridge-${PROJECT_VERSION})
install(FILES pom.xml DESTINATION ${maven}/deisa/${PROJECT_VERSION} RENAME deisa-${PROJECT_VERSION}.pom)
install(FILES java/pom.xml DESTINATION ${maven}/deisa-bridge/${PROJECT_VERSION} RENAME ${bridge}.pom)
# The last two are of the phase verify.
foreach(classifier linux-x86_64 sources javadoc)
  install(FILES java/target/${bridge}-${classifier}.jar DESTINATION ${maven}/deisa-bridge/${PROJECT_VERSION} OPTIONAL)
endforeach()
