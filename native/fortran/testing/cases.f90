!> What fortran_test.cc calls: each procedure is a simulation, or a part of one, of one rank.
!> They leave stat and message of the call that is tested in `outcome`.
module cases
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int8, int32, int64, real32, real64
  use deisa
  implicit none
  private

  integer, parameter :: nx = 4, ny = 3

  type, bind(c) :: outcome
    integer(c_int) :: stat
    character(kind=c_char) :: message(1024)
  end type

  type(deisa_bridge), save :: bridge

contains

  subroutine note(stat, message, result)
    integer, intent(in) :: stat
    character(*), intent(in) :: message
    type(outcome), intent(out) :: result
    integer :: i
    result%stat = stat
    result%message = c_null_char
    do i = 1, min(len_trim(message), size(result%message) - 1)
      result%message(i) = message(i:i)
    end do
  end subroutine

  !> Value of element (i, j), i and j from 1.
  elemental real(real64) function value(i, j)
    integer, intent(in) :: i, j
    value = 100 * i + j + 0.25_real64
  end function

  subroutine start() bind(c, name='case_start')
    call bridge%open(options=deisa_options(error_mode=deisa_errors_return, send_timeout=20.0_real64))
    call bridge%define('t', deisa_float64, [nx, ny], [0, 0], nb_chunks_per_dim=[1, 1])
    call bridge%define('z', deisa_complex128, chunk_shape=[2, 3, 2], chunk_position=[0, 0, 0], global_shape=[2, 3, 2])
    call bridge%define('mask', deisa_bool, [nx, ny], [0, 0], nb_chunks_per_dim=[1, 1], nb_chunks_of_node=1)
    call bridge%define('scalar', deisa_int32, [1_int64], [0_int64], nb_chunks_per_dim=[1_int64])
    call bridge%ready()
  end subroutine

  subroutine finish() bind(c, name='case_finish')
    if (bridge%is_open()) call bridge%close(1000)
  end subroutine

  subroutine lost_text(result) bind(c, name='case_lost_text')
    type(outcome), intent(out) :: result
    character(:), allocatable :: message, fixed
    integer :: stat
    call bridge%send('u', 1.0, 1, stat=stat, errmsg=message)
    if (allocated(message)) then
      call note(stat, message, result)
    else
      call note(stat, 'not allocated', result)
    end if
    allocate (character(200) :: fixed)
    call bridge%send('u', 1.0, 1, stat=stat, errmsg=fixed)
    if (index(fixed, 'unknown array') == 0) call note(stat, 'it was allocated', result)
  end subroutine

  !> Until all that was sent has arrived.
  subroutine arrive() bind(c, name='case_flush')
    call bridge%flush()
  end subroutine

  subroutine leave() bind(c, name='case_abandon')
    call bridge%abandon()
    call bridge%abandon()
  end subroutine

  subroutine ghost_cells() bind(c, name='case_ghost_cells')
    real(real64), allocatable :: t(:, :)
    integer :: i, j
    allocate (t(0:nx + 1, 0:ny + 1), source=-1.0_real64)
    do concurrent(i=1:nx, j=1:ny)
      t(i, j) = value(i, j)
    end do
    call bridge%send('t', t(1:nx, 1:ny), 1)
  end subroutine

  !> A pointer at every second row and every third column of a larger array.
  subroutine pointer_to_a_section() bind(c, name='case_pointer')
    real(real64), target :: field(2 * nx + 3, 3 * ny)
    real(real64), pointer :: p(:, :)
    integer :: i, j
    field = -1
    p => field(2:2 * nx:2, 3::3)
    do j = 1, ny
      do i = 1, nx
        p(i, j) = value(i, j)
      end do
    end do
    call bridge%send('t', p, 2_int64)
  end subroutine

  !> The pointer's bounds do not matter, and neither does a pointer to a component.
  subroutine pointer_to_components() bind(c, name='case_components')
    type :: cell
      real(real32) :: before
      real(real64) :: t
      integer(int8) :: after
    end type
    type(cell), target :: cells(nx, ny)
    real(real64), pointer :: p(:, :)
    integer :: i, j
    do j = 1, ny
      do i = 1, nx
        cells(i, j) = cell(-1.0, value(i, j), -1_int8)
      end do
    end do
    p(-3:, 7:) => cells%t
    call bridge%send('t', p, 3)
  end subroutine

  subroutine backwards() bind(c, name='case_backwards')
    real(real64) :: t(nx, ny)
    integer :: i, j
    do j = 1, ny
      do i = 1, nx
        t(nx + 1 - i, ny + 1 - j) = value(i, j)
      end do
    end do
    call bridge%send('t', t(nx:1:-1, ny:1:-1), 4)
  end subroutine

  !> Temporaries of the compiler, sent asynchronously: they are gone on return.
  subroutine temporaries() bind(c, name='case_temporaries')
    real(real64) :: t(nx, ny)
    type(deisa_request) :: first, second
    logical :: finished
    integer :: i, j
    do j = 1, ny
      do i = 1, nx
        t(i, j) = value(i, j) / 2
      end do
    end do
    call bridge%send('t', 2 * t, 5, request=first)
    t = 2 * t
    call bridge%send('t', t([1, 2, 3, 4], [1, 2, 3]), 6, request=second)
    t = -1
    call bridge%wait(first)
    finished = .false.
    do while (.not. finished)
      call bridge%test(second, finished)
    end do
    call bridge%wait(second)
  end subroutine

  !> An assumed-shape argument of the program's own, and a contiguous copy that the compiler makes.
  subroutine dummies() bind(c, name='case_dummies')
    real(real64) :: t(nx, 2 * ny)
    integer :: i, j
    t = -1
    do j = 1, ny
      do i = 1, nx
        t(i, 2 * j) = value(i, j)
      end do
    end do
    call pass(t(:, 2::2), 7)
    call pass_contiguous(t(:, 2::2), 8)
    call pass_explicit(t(:, 2::2), 9)
  contains
    subroutine pass(a, step)
      real(real64), intent(in) :: a(:, :)
      integer, intent(in) :: step
      call bridge%send('t', a, step)
    end subroutine
    subroutine pass_contiguous(a, step)
      real(real64), intent(in), contiguous :: a(:, :)
      integer, intent(in) :: step
      call bridge%send('t', a, step)
    end subroutine
    subroutine pass_explicit(a, step)
      real(real64), intent(in) :: a(nx, ny)
      integer, intent(in) :: step
      call bridge%send('t', a, step)
    end subroutine
  end subroutine

  !> A step of all arrays. The logicals hold any pattern for .true.
  subroutine step() bind(c, name='case_step')
    complex(real64) :: z(2, 3, 4)
    logical :: mask(0:nx, ny)
    logical(c_bool) :: small(nx, ny)
    integer :: i, j, k
    type(deisa_request) :: request
    do k = 1, 4
      do j = 1, 3
        do i = 1, 2
          z(i, j, k) = cmplx(100 * i + 10 * j + k, -k, real64)
        end do
      end do
    end do
    mask = .true.
    do j = 1, ny
      do i = 1, nx
        if (mod(i + 2 * j, 3) /= 0) then
          mask(i, j) = .false.
        else
          mask(i, j) = transfer(ishft(1, 8 * mod(i, 4)), .true.)
        end if
      end do
    end do
    call bridge%begin_step(10)
    call bridge%put('z', z(:, :, 4:1:-2))
    call bridge%put('mask', mask(1:, :))
    call bridge%put('scalar', 42)
    call bridge%end_step(request)
    call bridge%wait(request)
    do j = 1, ny
      small(:, j) = [(mod(i + 2 * j, 3) == 0, i = 1, nx)]
    end do
    call bridge%begin_step(11_int64)
    call bridge%put('mask', small(:, :))
    call bridge%end_step()
  end subroutine

  subroutine bytes_copied(bytes, chunks) bind(c, name='case_bytes_copied')
    integer(c_int64_t), intent(out) :: bytes, chunks
    type(deisa_statistics) :: status
    call bridge%statistics(status)
    bytes = status%bytes_copied
    chunks = status%chunks_sent
  end subroutine

  !> Mistakes, by number.
  subroutine mistake(which, result) bind(c, name='case_mistake')
    integer(c_int), value :: which
    type(outcome), intent(out) :: result
    real(real64) :: t(nx, ny), scalar
    real(real64), pointer :: nothing(:, :)
    type(deisa_bridge) :: other
    type(deisa_request) :: request
    character(1000) :: message
    integer :: stat
    message = ''
    stat = 99
    nothing => null()
    t = 0
    scalar = 0
    select case (which)
    case (1)
      call bridge%send('t', t(1:nx - 1, :), 20, stat=stat, errmsg=message)
    case (2)
      call bridge%send('t', transpose(t), 20, stat=stat, errmsg=message)
    case (3)
      call bridge%send('t', real(t, real32), 20, stat=stat, errmsg=message)
    case (4)
      call bridge%send('t', t(:, 1), 20, stat=stat, errmsg=message)
    case (5)
      call bridge%send('t', scalar, 20, stat=stat, errmsg=message)
    case (6)
      call bridge%send('t', t(:, 1:0), 20, stat=stat, errmsg=message)
    case (7)
      call bridge%send('t', nothing, 20, stat=stat, errmsg=message)
    case (8)
      call bridge%send('u', t, 20, stat=stat, errmsg=message)
    case (9)
      call bridge%put('t', t, stat, message)
    case (10)
      call other%send('t', t, 20, stat=stat, errmsg=message)
    case (11)
      call bridge%open(stat=stat, errmsg=message)
    case (12)
      call other%open(options=deisa_options(bridge_id=3, world_size=2), stat=stat, errmsg=message)
    case (13)
      call bridge%define('late', deisa_float32, [1], [0], nb_chunks_per_dim=[1], stat=stat, errmsg=message)
    case (14)
      call bridge%close(0, stat, message)
    case (15)
      call other%close(0, stat, message)
    case (16)
      call bridge%send('t', t, 20, request=request, stat=stat, errmsg=message)
      call bridge%wait(request)
      call bridge%send('t', t, 20, stat=stat, errmsg=message(1:20))
    case (17)
      call other%open(comm=-12345, stat=stat, errmsg=message)
    case (18)
      call other%open(options=deisa_options(when_full=7, block_timeout=-3.0_real64, store_threshold=1.5_real64, &
        max_ahead=-1, window=-2), stat=stat, errmsg=message)
    end select
    call note(stat, message, result)
  end subroutine

  subroutine definitions(result) bind(c, name='case_definitions')
    type(outcome), intent(out) :: result
    type(deisa_bridge) :: other
    character(1000) :: message
    integer :: stat
    call other%open()
    call other%define('a "b" \ c' // achar(10), 99, [4, 3], [0], global_shape=[8], stat=stat, errmsg=message)
    call note(stat, message, result)
    ! Leaving the scope abandons it.
  end subroutine

  !> What get returns of each key, in one line.
  subroutine feedback(result) bind(c, name='case_feedback')
    type(outcome), intent(out) :: result
    real(real64) :: r
    real(real32) :: s
    integer(int32) :: i
    integer(int64) :: l
    logical :: b, found(6)
    character(:), allocatable :: text, none
    character(1000) :: line
    integer :: stat(4)
    r = -1
    s = -1
    i = -1
    l = -1
    b = .false.
    call bridge%get('gain', r, found=found(1))
    call bridge%get('gain', s, 7, found=found(2))
    call bridge%get('count', i, collective=.true., found=found(3))
    call bridge%get('large', l, 7_int64, found=found(4))
    call bridge%get('on', b, found=found(5))
    call bridge%get('text', text)
    none = 'default'
    call bridge%get('none', none, found=found(6), stat=stat(1))
    call bridge%get('large', i, stat=stat(2))
    call bridge%get('count', b, stat=stat(3))
    call bridge%get('gain', none, stat=stat(4))
    write (line, '(f0.3,1x,f0.3,1x,i0,1x,i0,1x,l1,1x,6l1,4(1x,i0),1x,a,1x,i0,1x,a)') &
      r, s, i, l, b, found, stat, text(1:5), len(text), none
    call bridge%delete('gain')
    call bridge%get('gain', r, stat=stat(1), errmsg=line(800:))
    call note(stat(1), line(1:300) // line(800:), result)
  end subroutine

end module cases
