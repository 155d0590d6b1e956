# cmake -DTO=FILE -P dev/docs/fortran.cmake: the module deisa with the specific procedures of one kind of elements.
include(${CMAKE_CURRENT_LIST_DIR}/../../native/fortran/specifics.cmake)
set(DEISA_ELEMENTS "real64|real(real64)|deisa_float64")
deisa_generate_module(${CMAKE_CURRENT_LIST_DIR}/../../native/fortran/deisa.F90.in ${TO})
