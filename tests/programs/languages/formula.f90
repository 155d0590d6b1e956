!> formula.c in Fortran: rank, world, array, cells, steps, pace, step and stop.
module formula_lines
  use, intrinsic :: iso_c_binding, only: c_int, c_long, c_size_t, c_char
  use, intrinsic :: iso_fortran_env, only: int64
  use deisa
  implicit none
  logical :: reported = .false.

  type, bind(C) :: timespec
    integer(c_long) :: seconds
    integer(c_long) :: nanoseconds
  end type

  interface
    integer(c_size_t) function c_write(descriptor, text, bytes) bind(C, name='write')
      import :: c_int, c_size_t, c_char
      integer(c_int), value :: descriptor
      character(kind=c_char), intent(in) :: text(*)
      integer(c_size_t), value :: bytes
    end function
    integer(c_int) function clock_gettime(clock, now) bind(C)
      import :: c_int, timespec
      integer(c_int), value :: clock
      type(timespec), intent(out) :: now
    end function
    integer(c_int) function usleep(microseconds) bind(C)
      import :: c_int
      integer(c_int), value :: microseconds
    end function
  end interface

contains

  !> A line, in one write().
  subroutine say(text)
    character(*), intent(in) :: text
    character(:), allocatable :: line
    character(40) :: seconds
    type(timespec) :: now
    integer :: i, status
    status = clock_gettime(1, now)  ! CLOCK_MONOTONIC
    write (seconds, '(i0, ".", i6.6)') now%seconds, now%nanoseconds / 1000
    line = trim(seconds) // ' ' // text
    do i = 1, len(line)
      if (line(i:i) == new_line('a')) line(i:i) = ' '
    end do
    line = line // new_line('a')
    if (c_write(1, line, len(line, c_size_t)) /= len(line)) error stop 9
  end subroutine

  function text_of(numbers) result(text)
    integer(int64), intent(in) :: numbers(:)
    character(:), allocatable :: text
    character(80) :: line
    write (line, '(*(i0, :, 1x))') numbers
    text = trim(line)
  end function

  subroutine handle(failure)
    type(deisa_failure), intent(in) :: failure
    reported = .true.
    call say('reported ' // text_of([int(failure%status, int64), int(failure%rank, int64), failure%timestep]) // &
      ' ' // failure%message)
  end subroutine

end module formula_lines

program formula
  use, intrinsic :: iso_fortran_env, only: int64, real64
  use deisa
  use formula_lines
  implicit none

  integer, parameter :: most = 8
  type(deisa_bridge) :: bridge
  type(deisa_options) :: options
  real(real64), allocatable :: chunk(:)
  real(real64) :: pace
  character(4000) :: message
  integer :: chunks(most), position(most), arrays, rank, world, cells, steps, in_steps, stops, timestep, i, status

  arrays = 0
  call read_settings()
  options = deisa_options(error_handler=handle)
  options%bridge_id = rank
  options%world_size = world
  call bridge%open(options=options, stat=status, errmsg=message)
  call check('open')
  do i = 1, arrays
    if (position(i) >= 0) call bridge%define(name(i), deisa_float64, [cells], [position(i)], nb_chunks_per_dim=[chunks(i)])
  end do
  call bridge%ready(stat=status, errmsg=message)
  call check('ready')
  if (reported) stop 3
  call say('ready')
  allocate (chunk(cells))
  do timestep = 0, steps - 1
    status = usleep(int(1e6_real64 * pace))
    if (in_steps == 1) then
      call send_step()
    else
      call send_each()
    end if
    if (reported .and. stops == 1) then
      call bridge%abandon()
      stop 3
    end if
  end do
  call bridge%close(steps)
  call say('closed 0')

contains

  subroutine read_settings()
    character(200) :: text
    character(:), allocatable :: value
    integer :: k, equals
    do k = 1, command_argument_count()
      call get_command_argument(k, text)
      equals = index(text, '=')
      value = trim(text(equals + 1:))
      select case (text(:equals - 1))
      case ('rank'); read (value, *) rank
      case ('world'); read (value, *) world
      case ('cells'); read (value, *) cells
      case ('steps'); read (value, *) steps
      case ('pace'); read (value, *) pace
      case ('step'); read (value, *) in_steps
      case ('stop'); read (value, *) stops
      case ('array'); call read_array(value)
      end select
    end do
  end subroutine

  !> The rank comes first.
  subroutine read_array(value)
    character(*), intent(in) :: value
    integer :: members(64), k
    arrays = arrays + 1
    chunks(arrays) = count([(value(k:k) == ',', k=1, len(value))]) + 1
    read (value, *) members(:chunks(arrays))
    position(arrays) = -1
    do k = 1, chunks(arrays)
      if (members(k) == rank) position(arrays) = k - 1
    end do
  end subroutine

  function name(number)
    integer, intent(in) :: number
    character(2) :: name
    write (name, '(a, i0)') 'a', number - 1
  end function

  subroutine check(call_name)
    character(*), intent(in) :: call_name
    if (status >= 0) return
    call say('failed ' // call_name // ' ' // text_of([int(status, int64)]) // ' ' // trim(message))
    stop 2
  end subroutine

  subroutine fill(number)
    integer, intent(in) :: number
    integer :: k
    real(real64) :: base
    base = (((number - 1) * 64 + rank) * 4096.0_real64 + timestep) * 65536
    do k = 1, cells
      chunk(k) = base + k - 1
    end do
  end subroutine

  subroutine say_sent(number)
    integer, intent(in) :: number
    call say('sent ' // text_of(int([number - 1, timestep, status], int64)))
  end subroutine

  subroutine send_step()
    integer :: k
    call bridge%begin_step(timestep, stat=status, errmsg=message)
    call check('begin_step')
    if (status == deisa_skipped) then
      call say('skipped ' // text_of([int(timestep, int64)]))
      return
    end if
    do k = 1, arrays
      if (position(k) < 0) cycle
      call fill(k)
      call bridge%put(name(k), chunk, stat=status, errmsg=message)
      call check('put')
    end do
    call bridge%end_step(stat=status, errmsg=message)
    call check('end_step')
    do k = 1, arrays
      if (position(k) >= 0) call say_sent(k)
    end do
  end subroutine

  subroutine send_each()
    integer :: k
    do k = 1, arrays
      if (position(k) < 0) cycle
      call fill(k)
      call bridge%send(name(k), chunk, timestep, stat=status, errmsg=message)
      call check('send')
      call say_sent(k)
    end do
  end subroutine
end program formula
