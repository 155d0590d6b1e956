# Writes the test of every kind and rank, from kinds.f90.in.
set(DEISA_TEST_KIND [[
  subroutine send_@name@_@rank@(bridge, pass)
    type(deisa_bridge), intent(inout) :: bridge
    integer, intent(in) :: pass
    @declaration@ :: array@dimensions@
    integer :: k
    @fill@
    if (pass == 0) call define(bridge, '@name@_@rank@', @dtype@, shape(array@section@))
    if (pass == 1) call bridge%send('@name@_@rank@', array@section@, 1)
    if (pass == 2) call bridge%put('@name@_@rank@', array@section@)
  end subroutine

]])

function(deisa_generate_kinds_test from to)
  set(calls "")
  set(procedures "")
  foreach(element IN LISTS DEISA_ELEMENTS)
    string(REPLACE "|" ";" element "${element}")
    list(GET element 0 name)
    list(GET element 1 declaration)
    list(GET element 2 dtype)
    if(name MATCHES "logical")
      set(value "mod(k, 3) == 0")
    elseif(name MATCHES "int")
      set(value "int(k - 100, ${name})")
    elseif(name MATCHES "real")
      set(value "k + 0.5_${name}")
    elseif(name STREQUAL "complex32")
      set(value "cmplx(k, -k, real32)")
    else()
      set(value "cmplx(k, -k, real64)")
    endif()
    set(fill "k = 5\n    array = ${value}")
    set(dimensions "")
    set(section "")
    foreach(rank RANGE 0 7)
      if(rank EQUAL 1)
        set(dimensions "(3)")
        set(section "(2:)")
        set(fill "array = reshape([${declaration} :: (${value}, k = 1, size(array))], shape(array))")
      elseif(rank GREATER 1)
        string(REPLACE ")" ", 2)" dimensions "${dimensions}")
        string(REPLACE ")" ", :)" section "${section}")
      endif()
      string(CONFIGURE "${DEISA_TEST_KIND}" procedure @ONLY)
      string(APPEND procedures "${procedure}")
      string(APPEND calls "      call send_${name}_${rank}(bridge, pass)\n")
    endforeach()
  endforeach()
  string(REGEX REPLACE "\n$" "" calls "${calls}")
  configure_file(${from} ${to} @ONLY)
endfunction()
