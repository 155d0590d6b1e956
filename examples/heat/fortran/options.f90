!> The command line of the heat simulation, that of options.c.
module heat_options_module
  use, intrinsic :: ieee_arithmetic, only: ieee_is_finite
  use, intrinsic :: iso_fortran_env, only: error_unit, real64
  implicit none
  private
  public :: heat_options

  type :: heat_options
    integer :: size = 256                ! cells per dimension of the square
    integer :: steps = 20                ! timesteps
    real(real64) :: pace = 0             ! least seconds per timestep, as if the solver took that long
    logical :: without_mpi = .false.     ! the bridges meet by Gloo, not over MPI
    character(:), allocatable :: report  ! file for rank 0's report, if any
  contains
    procedure :: read => read_options
  end type

  character(*), parameter :: usage = &
    'usage: heat [--size CELLS] [--steps STEPS] [--pace SECONDS] [--comm mpi|gloo] [--report FILE]'

contains

  !> Reads the command line. `good` is false after saying (when `speaks`) what is wrong.
  subroutine read_options(this, speaks, good)
    class(heat_options), intent(inout) :: this
    logical, intent(in) :: speaks
    logical, intent(out) :: good
    character(:), allocatable :: name, value
    integer :: a
    good = .true.
    do a = 1, command_argument_count(), 2
      name = argument(a)
      value = argument(a + 1)
      select case (name)
      case ('--size')
        call read_integer(value, 30000, this%size, good)
      case ('--steps')
        call read_integer(value, 1000000000, this%steps, good)
      case ('--pace')
        call read_seconds(value, this%pace, good)
      case ('--comm')
        this%without_mpi = value == 'gloo'
        good = value == 'gloo' .or. value == 'mpi'
      case ('--report')
        this%report = value
        good = len(value) > 0
      case default
        if (speaks) write (error_unit, '(a)') 'heat: unknown option ' // name, usage
        good = .false.
        return
      end select
      if (.not. good) then
        if (speaks) write (error_unit, '(a)') 'heat: ''' // value // ''' is no value for ' // name, usage
        return
      end if
    end do
  end subroutine

  function argument(index)
    integer, intent(in) :: index
    character(:), allocatable :: argument
    integer :: length
    length = 0
    if (index <= command_argument_count()) call get_command_argument(index, length=length)
    allocate (character(length) :: argument)
    if (length > 0) call get_command_argument(index, argument)
  end function

  !> 1 ... most, in digits.
  subroutine read_integer(text, most, value, good)
    character(*), intent(in) :: text
    integer, intent(in) :: most
    integer, intent(inout) :: value
    logical, intent(out) :: good
    integer :: number, status
    good = len(text) > 0 .and. verify(text, '0123456789') == 0
    if (.not. good) return
    read (text, *, iostat=status) number
    good = status == 0
    if (good) good = number >= 1 .and. number <= most
    if (good) value = number
  end subroutine

  subroutine read_seconds(text, value, good)
    character(*), intent(in) :: text
    real(real64), intent(inout) :: value
    logical, intent(out) :: good
    real(real64) :: number
    integer :: status
    good = scan(text, '0123456789') > 0 .and. verify(text, '0123456789.eE+-') == 0
    if (.not. good) return
    read (text, *, iostat=status) number
    good = status == 0
    if (good) good = ieee_is_finite(number) .and. number >= 0
    if (good) value = number
  end subroutine

end module heat_options_module
