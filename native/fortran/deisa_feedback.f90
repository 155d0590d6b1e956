!> Feedback values in the kinds of Fortran.
module deisa_feedback
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
  use deisa_c
  use deisa_support
  implicit none
  private
  public :: read_value, read_array, read_all, get_options

  !> read_value(handle, key, options, value, status, error): `value` is set if `status` is deisa_ok. A
  !> logical and an int32 are read as integers, a real32 is rounded.
  interface read_value
    module procedure read_real32, read_real64, read_int32, read_int64, read_logical4, read_logical8, read_text
  end interface

  !> read_all(handle, key, options, timesteps, values, status, error): all kept values that are numbers.
  interface read_all
    module procedure read_all_real64, read_all_int64
  end interface

contains

  !> The options that the arguments of get describe.
  function get_options(timestep, wait, collective) result(options)
    class(*), intent(in), optional :: timestep, wait, collective
    type(c_get_options) :: options
    options%struct_size = c_sizeof(options)
    options%timestep = to_int64(timestep, latest)
    options%wait = to_real64(wait)
    options%collective = merge(1_c_int32_t, 0_c_int32_t, is_true(collective))
  end function

  subroutine read_real64(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    real(real64), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    status = c_get_double(handle, c_text(key), options, value, error)
  end subroutine

  subroutine read_real32(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    real(real32), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    real(real64) :: read
    call read_real64(handle, key, options, read, status, error)
    if (status == deisa_ok) value = real(read, real32)
  end subroutine

  subroutine read_int64(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer(int64), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    status = c_get_int64(handle, c_text(key), options, value, error)
  end subroutine

  subroutine read_int32(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer(int32), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    integer(int64) :: read
    call read_int64(handle, key, options, read, status, error)
    if (status /= deisa_ok) return
    if (read > huge(value) .or. read < -huge(value)) then
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' does not fit: expected an integer of 32 bits', &
        error)
    else
      value = int(read, int32)
    end if
  end subroutine

  subroutine read_logical4(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    logical(4), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    integer(int64) :: read
    call read_int64(handle, key, options, read, status, error)
    if (status /= deisa_ok) return
    if (read /= 0 .and. read /= 1) then
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' is no logical: expected False, True, 0 or 1', &
        error)
    else
      value = read == 1
    end if
  end subroutine

  subroutine read_logical8(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    logical(8), intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    logical(4) :: read
    call read_logical4(handle, key, options, read, status, error)
    if (status == deisa_ok) value = read
  end subroutine

  subroutine read_text(handle, key, options, value, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    character(:), allocatable, intent(inout) :: value
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_value), pointer :: read
    character(kind=c_char), pointer :: characters(:)
    integer :: i
    call read_any(handle, key, options, read, status, error)
    if (status /= deisa_ok) return
    if (read%kind /= value_string) then
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' is no string: expected one', error)
      return
    end if
    call c_f_pointer(read%data, characters, [read%size])
    if (allocated(value)) deallocate (value)
    allocate (character(len=read%size) :: value)
    do i = 1, size(characters)
      value(i:i) = characters(i)
    end do
  end subroutine

  !> `read` is owned by the library, valid until the next get.
  subroutine read_any(handle, key, options, read, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    type(c_value), pointer, intent(out) :: read
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_ptr) :: address
    address = c_null_ptr
    status = c_get(handle, c_text(key), options, address, error)
    read => null()
    if (status == deisa_ok) call c_f_pointer(address, read)
  end subroutine

  !> A NumPy array of this dtype and so many dimensions: its extents in the order of Python's indices, and
  !> its elements, last dimension fastest, in memory of the library.
  subroutine read_array(handle, key, options, dtype, extents, elements, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer, intent(in) :: dtype
    integer, intent(out) :: extents(:)
    type(c_ptr), intent(out) :: elements
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_value), pointer :: read
    integer(c_int64_t), pointer :: shape(:)
    character(12) :: rank
    elements = c_null_ptr
    extents = 0
    call read_any(handle, key, options, read, status, error)
    if (status /= deisa_ok) return
    if (read%kind /= value_array .or. read%dtype /= dtype .or. read%ndim /= size(extents)) then
      write (rank, '(i0)') size(extents)
      status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' is no array of ' // &
        trim(dtype_names(dtype)) // ' in ' // trim(rank) // ' dimensions: expected one', error)
      return
    end if
    call c_f_pointer(read%shape, shape, [read%ndim])
    extents = int(shape)
    elements = read%data
  end subroutine

  !> The pairs of timestep and value of all kept values, each of one of these kinds.
  subroutine read_pairs(handle, key, options, kinds, timesteps, values, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer(c_int), intent(in) :: kinds(:)
    integer(int64), allocatable, intent(inout) :: timesteps(:)
    type(c_value), allocatable, intent(out) :: values(:)
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_value), pointer :: read, pairs(:), pair(:)
    integer :: i
    call read_any(handle, key, options, read, status, error)
    if (status /= deisa_ok) return
    call c_f_pointer(read%items, pairs, [read%size])
    if (allocated(timesteps)) deallocate (timesteps)
    allocate (timesteps(size(pairs)), values(size(pairs)))
    do i = 1, size(pairs)
      call c_f_pointer(pairs(i)%items, pair, [2])
      timesteps(i) = pair(1)%integer
      values(i) = pair(2)
      if (all(kinds /= values(i)%kind)) then
        status = refuse(deisa_error_argument, 'feedback ''' // trim(key) // ''' has a value that is no number of this type', &
          error)
        return
      end if
    end do
  end subroutine

  subroutine read_all_real64(handle, key, options, timesteps, values, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer(int64), allocatable, intent(inout) :: timesteps(:)
    real(real64), allocatable, intent(inout) :: values(:)
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_value), allocatable :: read(:)
    call read_pairs(handle, key, options, [value_bool, value_integer, value_number], timesteps, read, status, error)
    if (status /= deisa_ok) return
    values = merge(read%number, real(read%integer, real64), read%kind == value_number)
  end subroutine

  subroutine read_all_int64(handle, key, options, timesteps, values, status, error)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: key
    type(c_get_options), intent(in) :: options
    integer(int64), allocatable, intent(inout) :: timesteps(:)
    integer(int64), allocatable, intent(inout) :: values(:)
    integer(c_int), intent(out) :: status
    type(c_error), intent(inout) :: error
    type(c_value), allocatable :: read(:)
    call read_pairs(handle, key, options, [value_bool, value_integer], timesteps, read, status, error)
    if (status /= deisa_ok) return
    values = read%integer
  end subroutine

end module deisa_feedback
