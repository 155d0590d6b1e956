# Writes deisa.F90 from deisa.F90.in: one specific procedure of send, put, loan, ... for each kind and rank,
# since compilers choose among them when the program is compiled. (One procedure with an assumed-rank argument
# would do, but not every compiler passes that on.) For pointers, C's procedures need an interface for each kind.

# name | declaration | dtype
set(DEISA_ELEMENTS
  "logical1|logical(1)|deisa_bool" "logical2|logical(2)|deisa_bool"
  "logical4|logical(4)|deisa_bool" "logical8|logical(8)|deisa_bool"
  "int8|integer(int8)|deisa_int8" "int16|integer(int16)|deisa_int16"
  "int32|integer(int32)|deisa_int32" "int64|integer(int64)|deisa_int64"
  "real32|real(real32)|deisa_float32" "real64|real(real64)|deisa_float64"
  "complex32|complex(real32)|deisa_complex64" "complex64|complex(real64)|deisa_complex128")

set(DEISA_SEND [[
  subroutine @specific@(this, name, array, timestep, request, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: name
    @declaration@, intent(in) :: array@dimensions@
    integer(@kind@), intent(in) :: timestep
    type(deisa_request), intent(out), optional :: request
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    if (present(request)) then
      status = c_send(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), this%halo_of(name), &
        int(timestep, c_int64_t), request%number, error)
    else
      status = c_send(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), this%halo_of(name), &
        int(timestep, c_int64_t), error=error)
    end if
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_PUT [[
  subroutine @specific@(this, name, array, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: name
    @declaration@, intent(in) :: array@dimensions@
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    status = c_put(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), this%halo_of(name), error)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_LOAN_INTERFACES [[
  interface
    integer(c_int) function c_loan_@name@(bridge, name, array, dtype, error) bind(c, name='deisa_fortran_loan')
      import
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      @c_declaration@, pointer, intent(inout) :: array(..)
      integer(c_int), value :: dtype
      type(c_error), intent(inout) :: error
    end function
    integer(c_int) function c_send_loan_@name@(bridge, name, array, dtype, timestep, request, error) &
        bind(c, name='deisa_fortran_send_loan')
      import
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      @c_declaration@, pointer, intent(inout) :: array(..)
      integer(c_int), value :: dtype
      integer(c_int64_t), value :: timestep
      integer(c_int64_t), intent(inout), optional :: request
      type(c_error), intent(inout) :: error
    end function
    integer(c_int) function c_put_loan_@name@(bridge, name, array, dtype, error) &
        bind(c, name='deisa_fortran_put_loan')
      import
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      @c_declaration@, pointer, intent(inout) :: array(..)
      integer(c_int), value :: dtype
      type(c_error), intent(inout) :: error
    end function
  end interface

]])

set(DEISA_LOAN [[
  subroutine @specific@(this, name, array, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: name
    @declaration@, pointer, intent(inout) :: array@dimensions@
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    @declaration@, target, save :: nothing@extents@
    array => nothing  ! gfortran 12 keeps the type in the pointer, too, and C's changes leave it out
    status = c_loan_@name@(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), error)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_SEND_LOAN [[
  subroutine @specific@(this, name, array, timestep, request, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: name
    @declaration@, pointer, intent(inout) :: array@dimensions@
    integer(@kind@), intent(in) :: timestep
    type(deisa_request), intent(out), optional :: request
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    if (present(request)) then
      status = c_send_loan_@name@(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), &
        int(timestep, c_int64_t), request%number, error)
    else
      status = c_send_loan_@name@(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), &
        int(timestep, c_int64_t), error=error)
    end if
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_PUT_LOAN [[
  subroutine @specific@(this, name, array, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: name
    @declaration@, pointer, intent(inout) :: array@dimensions@
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    status = c_put_loan_@name@(this%handle, c_text(name), array, this%dtype_of(name, @dtype@), error)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_GET [[
  subroutine @specific@(this, key, value, timestep, wait, collective, found, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: key
    @declaration@, intent(inout) :: value
    class(*), intent(in), optional :: timestep, wait, collective
    class(*), intent(inout), optional :: found
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_error) :: error
    integer(c_int) :: status
    call read_value(this%handle, key, get_options(timestep, wait, collective), value, status, error)
    call set_truth(found, status == deisa_ok)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_GET_ARRAY [[
  subroutine @specific@(this, key, value, timestep, wait, collective, found, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: key
    @declaration@, allocatable, intent(inout) :: value@dimensions@
    class(*), intent(in), optional :: timestep, wait, collective
    class(*), intent(inout), optional :: found
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    @declaration@, pointer :: elements(:)
    type(c_ptr) :: memory
    type(c_error) :: error
    integer(c_int) :: status
    integer :: extents(@rank@)
    call read_array(this%handle, key, get_options(timestep, wait, collective), @dtype@, extents, memory, status, error)
    if (status == deisa_ok) then
      call c_f_pointer(memory, elements, [product(extents)])
      value = reshape(elements, extents, order=[@order@])  ! the last index is fastest in Python
    end if
    call set_truth(found, status == deisa_ok)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

set(DEISA_GET_ALL [[
  subroutine @specific@(this, key, timesteps, values, wait, collective, found, stat, errmsg)
    class(deisa_bridge), intent(in) :: this
    character(*), intent(in) :: key
    integer(int64), allocatable, intent(inout) :: timesteps(:)
    @declaration@, allocatable, intent(inout) :: values(:)
    class(*), intent(in), optional :: wait, collective
    class(*), intent(inout), optional :: found
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    type(c_get_options) :: options
    type(c_error) :: error
    integer(c_int) :: status
    options = get_options(wait=wait, collective=collective)
    options%all = 1
    call read_all(this%handle, key, options, timesteps, values, status, error)
    call set_truth(found, status == deisa_ok)
    call finish(this%handle, status, error, stat, errmsg)
  end subroutine

]])

# The declaration of elements with the kinds of iso_c_binding, which interfaces of C's procedures must have.
function(deisa_c_declaration declaration out)
  string(REGEX REPLACE "integer\\((int[0-9]+)\\)" "integer(c_\\1_t)" declaration "${declaration}")
  string(REGEX REPLACE "^complex\\(real32\\)" "complex(c_float_complex)" declaration "${declaration}")
  string(REGEX REPLACE "^complex\\(real64\\)" "complex(c_double_complex)" declaration "${declaration}")
  string(REPLACE "real32" "c_float" declaration "${declaration}")
  string(REPLACE "real64" "c_double" declaration "${declaration}")
  set(${out} "${declaration}" PARENT_SCOPE)
endfunction()

# One specific of `generic`, with the variables that its text names.
macro(deisa_specific generic text)
  string(CONFIGURE "${${text}}" procedure @ONLY)
  string(APPEND procedures "${procedure}")
  string(APPEND bindings "    procedure, private :: ${specific}\n    generic :: ${generic} => ${specific}\n")
endmacro()

function(deisa_generate_module from to)
  set(bindings "")
  set(interfaces "")
  set(procedures "")
  foreach(element IN LISTS DEISA_ELEMENTS)
    string(REPLACE "|" ";" element "${element}")
    list(GET element 0 name)
    list(GET element 1 declaration)
    list(GET element 2 dtype)
    # .true. is not the same in Fortran's memory and in that of the chunk.
    set(can_lend YES)
    if(name MATCHES "logical")
      set(can_lend NO)
    endif()
    if(can_lend)
      deisa_c_declaration("${declaration}" c_declaration)
      string(CONFIGURE "${DEISA_LOAN_INTERFACES}" interface @ONLY)
      string(APPEND interfaces "${interface}")
    endif()
    set(dimensions "")
    foreach(rank RANGE 0 7)
      if(rank EQUAL 1)
        set(dimensions "(:)")
      elseif(rank GREATER 1)
        string(REPLACE ")" ", :)" dimensions "${dimensions}")
      endif()
      foreach(kind int32 int64)
        set(specific send_${name}_${rank}_${kind})
        deisa_specific(send DEISA_SEND)
      endforeach()
      set(specific put_${name}_${rank})
      deisa_specific(put DEISA_PUT)
      if(can_lend AND rank GREATER 0)
        string(REPLACE ":" "0" extents "${dimensions}")
        set(specific loan_${name}_${rank})
        deisa_specific(loan DEISA_LOAN)
        foreach(kind int32 int64)
          set(specific send_loan_${name}_${rank}_${kind})
          deisa_specific(send_loan DEISA_SEND_LOAN)
        endforeach()
        set(specific put_loan_${name}_${rank})
        deisa_specific(put_loan DEISA_PUT_LOAN)
      endif()
    endforeach()
  endforeach()
  foreach(element "real32|real(real32)" "real64|real(real64)" "int32|integer(int32)" "int64|integer(int64)"
      "logical4|logical(4)" "logical8|logical(8)" "text|character(:), allocatable")
    string(REPLACE "|" ";" element "${element}")
    list(GET element 0 name)
    list(GET element 1 declaration)
    set(specific get_${name})
    deisa_specific(get DEISA_GET)
  endforeach()
  foreach(element IN LISTS DEISA_ELEMENTS)
    string(REPLACE "|" ";" element "${element}")
    list(GET element 0 name)
    list(GET element 1 declaration)
    list(GET element 2 dtype)
    if(name MATCHES "logical|int8|int16")
      continue()
    endif()
    set(dimensions "")
    set(order "")
    foreach(rank RANGE 1 7)
      if(rank EQUAL 1)
        set(dimensions "(:)")
        set(order "1")
      else()
        string(REPLACE ")" ", :)" dimensions "${dimensions}")
        set(order "${rank}, ${order}")
      endif()
      set(specific get_array_${name}_${rank})
      deisa_specific(get DEISA_GET_ARRAY)
    endforeach()
    if(name MATCHES "64" AND NOT name MATCHES "complex")
      set(specific get_all_${name})
      deisa_specific(get_all DEISA_GET_ALL)
    endif()
  endforeach()
  string(REGEX REPLACE "\n+$" "" bindings "${bindings}")
  string(REGEX REPLACE "\n+$" "" interfaces "${interfaces}")
  configure_file(${from} ${to} @ONLY)
endfunction()
