!> Feedback values in the kinds of Fortran.
module deisa_feedback
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
  use deisa_c
  use deisa_support
  implicit none
  private
  public :: read_value

  !> read_value(handle, key, timestep, collective, value, status, error): `value` is set if `status`
  !> is deisa_ok. A logical and an int32 are read as integers, a real32 is rounded.
  interface read_value
    module procedure read_real32, read_real64, read_int32, read_int64, read_logical4, read_logical8, read_text
  end interface

contains

  integer(c_int) function flags(collective)
    logical, intent(in) :: collective
    flags = 0
    if (collective) flags = collective_flag
  end function

  subroutine read_real64(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    real(real64), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    status = c_get_double(handle, c_text(key), timestep, flags(collective), value, error)
  end subroutine

  subroutine read_real32(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    real(real32), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    real(real64) :: read
    call read_real64(handle, key, timestep, collective, read, status, error)
    if (status == deisa_ok) value = real(read, real32)
  end subroutine

  subroutine read_int64(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    integer(int64), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    status = c_get_int64(handle, c_text(key), timestep, flags(collective), value, error)
  end subroutine

  subroutine read_int32(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    integer(int32), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    integer(int64) :: read
    call read_int64(handle, key, timestep, collective, read, status, error)
    if (status /= deisa_ok) return
    if (read > huge(value) .or. read < -huge(value)) then
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' does not fit: expected an integer of 32 bits', &
        error)
    else
      value = int(read, int32)
    end if
  end subroutine

  subroutine read_logical4(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    logical(4), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    integer(int64) :: read
    call read_int64(handle, key, timestep, collective, read, status, error)
    if (status /= deisa_ok) return
    if (read /= 0 .and. read /= 1) then
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' is no logical: expected False, True, 0 or 1', &
        error)
    else
      value = read == 1
    end if
  end subroutine

  subroutine read_logical8(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    logical(8), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    logical(4) :: read
    call read_logical4(handle, key, timestep, collective, read, status, error)
    if (status == deisa_ok) value = read
  end subroutine

  subroutine read_text(handle, key, timestep, collective, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    integer(c_int64_t), intent(in) :: timestep
    logical, intent(in) :: collective
    character(:), allocatable, intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_ptr) :: text
    integer(c_size_t) :: length
    character(kind=c_char), pointer :: characters(:)
    integer :: i
    text = c_null_ptr
    length = 0
    status = c_get_text(handle, c_text(key), timestep, flags(collective), text, length, error)
    if (status /= deisa_ok) return
    call c_f_pointer(text, characters, [length])
    if (allocated(value)) deallocate (value)
    allocate (character(len=length) :: value)
    do i = 1, size(characters)
      value(i:i) = characters(i)
    end do
  end subroutine

end module deisa_feedback
