!> Conversion of texts and errors between Fortran and C.
module deisa_support
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64, error_unit
  use deisa_c
  implicit none
  private
  public :: c_text, c_option, entry, list, number, kind_of, refuse, report, finish, set_integer, set_truth, is_true
  public :: to_int64, to_real64, f_text, quoted

contains

  !> For C: without trailing blanks, ended by NUL.
  function c_text(text)
    character(*), intent(in) :: text
    character(:, c_char), allocatable :: c_text
    c_text = trim(text) // c_null_char
  end function

  !> The same of an option that may not be given: then empty.
  function c_option(text)
    character(:), allocatable, intent(in) :: text
    character(:, c_char), allocatable :: c_option
    c_option = c_null_char
    if (allocated(text)) c_option = c_text(text)
  end function

  !> JSON: {"name": {members}}
  function entry(name, members)
    character(*), intent(in) :: name, members
    character(:), allocatable :: entry
    entry = '{' // quoted(trim(name)) // ': {' // members // '}}'
  end function

  !> JSON: "key": [values], and a comma before it.
  function list(key, values)
    character(*), intent(in) :: key
    integer(int64), intent(in) :: values(:)
    character(:), allocatable :: list
    integer :: i
    list = ', "' // key // '": ['
    do i = 1, size(values)
      if (i > 1) list = list // ', '
      list = list // decimal(values(i))
    end do
    list = list // ']'
  end function

  !> JSON: "key": value, and a comma before it.
  function number(key, value)
    character(*), intent(in) :: key
    integer(int64), intent(in) :: value
    character(:), allocatable :: number
    number = ', "' // key // '": ' // decimal(value)
  end function

  !> JSON: "dtype": its name, or the number if that is none.
  function kind_of(dtype)
    integer, intent(in) :: dtype
    character(:), allocatable :: kind_of
    if (dtype >= 1 .and. dtype <= size(dtype_names)) then
      kind_of = '"dtype": "' // trim(dtype_names(dtype)) // '"'
    else
      kind_of = '"dtype": ' // decimal(int(dtype, int64))
    end if
  end function

  function decimal(value)
    integer(int64), intent(in) :: value
    character(:), allocatable :: decimal
    character(24) :: digits
    write (digits, '(i0)') value
    decimal = trim(digits)
  end function

  function quoted(text)
    character(*), intent(in) :: text
    character(:), allocatable :: quoted
    character(6) :: code
    integer :: i
    quoted = '"'
    do i = 1, len(text)
      select case (iachar(text(i:i)))
      case (34, 92)  ! quote and backslash
        quoted = quoted // achar(92) // text(i:i)
      case (0:31)
        write (code, '(a,z4.4)') achar(92) // 'u', iachar(text(i:i))
        quoted = quoted // code
      case default
        quoted = quoted // text(i:i)
      end select
    end do
    quoted = quoted // '"'
  end function

  !> An error that the module itself found. Returns its status.
  integer(c_int) function refuse(status, message, error)
    integer, intent(in) :: status
    character(*), intent(in) :: message
    type(c_error), intent(inout) :: error
    refuse = c_fail(int(status, c_int), c_null_char, c_text(message), error)
  end function

  !> Ends a call on a bridge that must be open.
  subroutine finish(handle, status, error, stat, errmsg)
    type(c_ptr), intent(in) :: handle
    integer(c_int), intent(in) :: status
    type(c_error), intent(inout) :: error
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    integer(c_int) :: known
    known = status
    if (known < 0 .and. .not. c_associated(handle)) then
      known = refuse(deisa_error_contract, 'the bridge is not open: expected open before this call, and close after it', &
        error)
    end if
    call report(known, error, stat, errmsg)
  end subroutine

  !> Sets the caller's integer of any kind: default integers have 64 bits with -fdefault-integer-8.
  subroutine set_integer(variable, value)
    class(*), intent(inout), optional :: variable
    integer(c_int), intent(in) :: value
    if (.not. present(variable)) return
    select type (variable)
    type is (integer(int32))
      variable = value
    type is (integer(int64))
      variable = value
    class default
      error stop 'deisa: the argument stat must be an integer of 32 or 64 bits'
    end select
  end subroutine

  !> The same for a logical, whose kind follows that of the integers.
  subroutine set_truth(variable, value)
    class(*), intent(inout), optional :: variable
    logical, intent(in) :: value
    if (.not. present(variable)) return
    select type (variable)
    type is (logical(4))
      variable = value
    type is (logical(8))
      variable = value
    class default
      error stop 'deisa: the arguments found and finished must be logicals of 32 or 64 bits'
    end select
  end subroutine

  logical function is_true(variable)
    class(*), intent(in), optional :: variable
    is_true = .false.
    if (.not. present(variable)) return
    select type (variable)
    type is (logical(4))
      is_true = variable
    type is (logical(8))
      is_true = variable
    class default
      error stop 'deisa: the argument collective must be a logical of 32 or 64 bits'
    end select
  end function

  !> An integer of 32 or 64 bits; `otherwise` if it is not given.
  integer(c_int64_t) function to_int64(variable, otherwise)
    class(*), intent(in), optional :: variable
    integer(c_int64_t), intent(in) :: otherwise
    to_int64 = otherwise
    if (.not. present(variable)) return
    select type (variable)
    type is (integer(int32))
      to_int64 = variable
    type is (integer(int64))
      to_int64 = variable
    class default
      error stop 'deisa: the argument timestep must be an integer of 32 or 64 bits'
    end select
  end function

  !> Seconds: a real or an integer; 0 if they are not given.
  real(c_double) function to_real64(variable)
    class(*), intent(in), optional :: variable
    to_real64 = 0
    if (.not. present(variable)) return
    select type (variable)
    type is (real(real32))
      to_real64 = real(variable, c_double)
    type is (real(real64))
      to_real64 = variable
    type is (integer(int32))
      to_real64 = variable
    type is (integer(int64))
      to_real64 = real(variable, c_double)
    class default
      error stop 'deisa: the argument wait must be a real or an integer'
    end select
  end function

  !> Gives status and message to the caller. Stops the program if it is an error and the caller has
  !> not passed `stat`. Without an `errmsg`, or with an unallocated one, the text goes to the
  !> error output.
  subroutine report(status, error, stat, errmsg)
    integer(c_int), intent(in) :: status
    type(c_error), intent(in) :: error
    class(*), intent(inout), optional :: stat
    character(*), intent(inout), optional :: errmsg
    call set_integer(stat, status)
    if (status == deisa_ok) return
    if (present(errmsg)) errmsg = described(error)
    if (status < 0 .and. .not. (present(stat) .and. present(errmsg))) then
      write (error_unit, '(a)') 'deisa: ' // described(error)
      flush (error_unit)
    end if
    if (status < 0 .and. .not. present(stat)) then
      error stop 'deisa: stopped by an error; give the argument stat to go on'
    end if
  end subroutine

  function described(error)
    type(c_error), intent(in) :: error
    character(:), allocatable :: described
    character(kind=c_char) :: text(4600)
    call c_describe(error, text, size(text, kind=c_size_t))
    described = f_text(text)
  end function

  !> A text of C, which NUL ends.
  function f_text(text)
    character(kind=c_char), intent(in) :: text(:)
    character(:), allocatable :: f_text
    integer :: i, length
    length = 0
    do while (length < size(text))
      if (text(length + 1) == c_null_char) exit
      length = length + 1
    end do
    allocate (character(length) :: f_text)
    do i = 1, length
      f_text(i:i) = text(i)
    end do
  end function

end module deisa_support
