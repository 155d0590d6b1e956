!> What loan_test.cc calls: a simulation of one rank that computes in the bridge's memory.
module loan
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use deisa
  implicit none
  private

  type, bind(c) :: outcome
    integer(c_int) :: stat
    character(kind=c_char) :: message(1024)
  end type

  type(deisa_bridge), save :: bridge
  real(real64), pointer, save :: t(:, :) => null()

contains

  subroutine start() bind(c, name='loan_start')
    call bridge%open(options=deisa_options(error_mode=deisa_errors_return, send_timeout=20.0_real64))
    call bridge%define('t', deisa_float64, [4, 3], [0, 0], nb_chunks_per_dim=[1, 1])
    call bridge%define('c', deisa_complex64, [2, 3, 4, 1], [0, 0, 0, 0], global_shape=[2, 3, 4, 1])
    call bridge%define('k1', deisa_int8, [5], [0], global_shape=[5])
    call bridge%define('k2', deisa_int16, [2, 2, 2], [0, 0, 0], global_shape=[2, 2, 2])
    call bridge%define('k4', deisa_int32, [2, 1, 2, 3, 2], [0, 0, 0, 0, 0], global_shape=[2, 1, 2, 3, 2])
    call bridge%define('k8', deisa_int64, [2, 3], [0, 0], global_shape=[2, 3])
    call bridge%define('r4', deisa_float32, [1, 2, 1, 2, 3, 2, 2], [0, 0, 0, 0, 0, 0, 0], &
      global_shape=[1, 2, 1, 2, 3, 2, 2])
    call bridge%define('z', deisa_complex128, [2, 2, 1, 2, 1, 2], [0, 0, 0, 0, 0, 0], global_shape=[2, 2, 1, 2, 1, 2])
    call bridge%define_json('{"ghosts": {"dtype": "float64", "chunk_shape": [2, 2], "global_shape": [2, 2], ' // &
      '"chunk_position": [0, 0], "halo_before": [1, 1]}}')
    call bridge%ready()
    call bridge%loan('t', t)
  end subroutine

  subroutine finish() bind(c, name='loan_finish')
    if (bridge%is_open()) call bridge%close(1000)
  end subroutine

  subroutine bytes_copied(bytes) bind(c, name='loan_bytes_copied')
    integer(c_int64_t), intent(out) :: bytes
    type(deisa_statistics) :: status
    call bridge%statistics(status)
    bytes = status%bytes_copied
  end subroutine

  subroutine fill(a, step)
    real(real64), intent(inout) :: a(:, :)
    integer, intent(in) :: step
    integer :: i, j
    do i = 1, size(a, 1)
      do j = 1, size(a, 2)
        a(i, j) = 1000 * step + 100 * i + j
      end do
    end do
  end subroutine

  !> Steps 0 to 5, in every manner. Each is computed from the last one, which may still be read. The first
  !> that is wrong is in `wrong`; 0: none.
  subroutine steps(wrong) bind(c, name='loan_steps')
    integer(c_int), intent(out) :: wrong
    real(real64), pointer :: last(:, :), now(:, :)
    type(deisa_request) :: request
    integer :: step
    wrong = 0
    call bridge%loan('t', now)
    if (.not. associated(now, t) .or. any(lbound(now) /= 1) .or. any(shape(now) /= [4, 3])) wrong = 1
    now(0:, -5:) => t
    call fill(now, 0)
    do step = 0, 5
      last => now
      select case (mod(step, 3))
      case (0)
        call bridge%send_loan('t', now, step)
      case (1)
        call bridge%send_loan('t', now, int(step, int64), request)
        call bridge%wait(request)
      case (2)
        call bridge%begin_step(step)
        call bridge%put_loan('t', now)
        call bridge%end_step()
      end select
      call bridge%flush()
      if (associated(now, last) .or. any(lbound(now) /= [0, -5]) .or. any(shape(now) /= [4, 3])) wrong = 10 + step
      if (any(nint([last(0, -5), last(3, -3)]) /= 1000 * step + [101, 403])) wrong = 20 + step
      now = last + 1000
    end do
    t(1:, 1:) => now
  end subroutine

  !> Chunks of all types: each element is its number, counted with the last index innermost.
  subroutine kinds() bind(c, name='loan_kinds')
    complex(real32), pointer :: c(:, :, :, :)
    integer(int8), pointer :: k1(:)
    integer(int16), pointer :: k2(:, :, :)
    integer(int32), pointer :: k4(:, :, :, :, :)
    integer(int64), pointer :: k8(:, :)
    real(real32), pointer :: r4(:, :, :, :, :, :, :)
    complex(real64), pointer :: z(:, :, :, :, :, :)
    integer :: i
    call bridge%loan('c', c)
    call bridge%loan('k1', k1)
    call bridge%loan('k2', k2)
    call bridge%loan('k4', k4)
    call bridge%loan('k8', k8)
    call bridge%loan('r4', r4)
    call bridge%loan('z', z)
    ! reshape counts the first index fastest; order= turns that round.
    c = reshape([(cmplx(i, -i, real32), i=0, 23)], shape(c), order=[4, 3, 2, 1])
    k1 = int([(i, i=0, 4)], int8)
    k2 = reshape(int([(i, i=0, 7)], int16), shape(k2), order=[3, 2, 1])
    k4 = reshape([(i, i=0, 23)], shape(k4), order=[5, 4, 3, 2, 1])
    k8 = reshape(int([(i, i=0, 5)], int64), shape(k8), order=[2, 1])
    r4 = reshape(real([(i, i=0, 47)], real32), shape(r4), order=[7, 6, 5, 4, 3, 2, 1])
    z = reshape([(cmplx(i, -i, real64), i=0, 15)], shape(z), order=[6, 5, 4, 3, 2, 1])
    call bridge%send_loan('c', c, 1)
    call bridge%send_loan('k1', k1, 1)
    call bridge%send_loan('k2', k2, 1)
    call bridge%send_loan('k4', k4, 1_int64)
    call bridge%begin_step(2)
    call bridge%put_loan('k8', k8)
    call bridge%put_loan('r4', r4)
    call bridge%put_loan('z', z)
    call bridge%end_step()
    call bridge%flush()
  end subroutine

  !> Mistakes, by number. `kept`: the pointer is what the documentation says.
  subroutine mistake(which, result, kept) bind(c, name='loan_mistake')
    integer(c_int), value :: which
    type(outcome), intent(out) :: result
    integer(c_int), intent(out) :: kept
    real(real64), target :: field(4, 3)
    real(real64), pointer :: p(:, :), before(:, :), line(:), ghosts(:, :)
    real(real32), pointer :: single(:, :)
    type(deisa_bridge) :: other
    character(1000) :: message
    integer :: stat, i
    logical :: as_documented
    message = ''
    stat = 99
    field = 1
    single => null()
    select case (which)
    case (1)
      call bridge%loan('t', single, stat, message)
      as_documented = .not. associated(single)
    case (2)
      line => field(:, 1)
      call bridge%loan('t', line, stat, message)
      as_documented = .not. associated(line)
    case (3)
      call bridge%loan('no', p, stat, message)
      as_documented = .not. associated(p)
    case (4)
      call bridge%loan('ghosts', ghosts, stat, message)
      as_documented = .not. associated(ghosts)
    case (5)
      call other%loan('t', p, stat, message)
      as_documented = .not. associated(p)
    case default
      p => field
      if (which == 7) p => null()
      if (which == 8) p => t(:, 1:2)
      if (which == 9) p => t(1:4:2, :)
      if (which == 10) p => t(:, ::2)
      if (which == 13) p => t(2:, :)
      before => p
      select case (which)
      case (11)
        call bridge%put_loan('t', p, stat, message)
      case (12)
        allocate (single(4, 3))
        call bridge%send_loan('t', single, 7, stat=stat, errmsg=message)
        deallocate (single)
      case default
        call bridge%send_loan('t', p, 7, stat=stat, errmsg=message)
      end select
      as_documented = associated(p, before) .or. (which == 7 .and. .not. associated(p))
    end select
    kept = merge(1, 0, as_documented)
    result%stat = stat
    result%message = c_null_char
    do i = 1, min(len_trim(message), size(result%message) - 1)
      result%message(i) = message(i:i)
    end do
  end subroutine

  !> Nothing is lost by mistakes: what was computed before can be sent.
  subroutine compute() bind(c, name='loan_compute')
    call fill(t, 7)
  end subroutine
  subroutine send() bind(c, name='loan_send')
    call bridge%send_loan('t', t, 7)
    call bridge%flush()
  end subroutine

end module loan
