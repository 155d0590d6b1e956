!> A program whose default integers and logicals have 64 bits: compiled with -fdefault-integer-8.
module wide
  use, intrinsic :: iso_c_binding
  use deisa
  implicit none
  private

contains

  !> Sends as any program does. Returns how many calls did not do what they should.
  integer(c_int) function run() bind(c, name='case_wide')
    type(deisa_bridge) :: bridge
    type(deisa_request) :: request
    type(deisa_statistics) :: counters
    integer :: stat, nx, ny, step, count
    logical :: finished, found, on
    double precision :: gain
    double precision, pointer :: loan(:, :)
    double precision, allocatable :: t(:, :)
    character(2000) :: message
    nx = 2
    ny = 3
    run = int(kind(stat) - 8, c_int)
    call bridge%open(options=deisa_options(bridge_id=0, world_size=1, error_mode=deisa_errors_return), stat=stat)
    call expect(stat == deisa_ok)
    call bridge%define('t', deisa_float64, [nx, ny], [0, 0], nb_chunks_per_dim=[1, 1], nb_chunks_of_node=1)
    call bridge%define('loan', deisa_float64, [nx, ny], [0, 0], global_shape=[nx, ny], stat=stat, errmsg=message)
    call expect(stat == deisa_ok)
    call bridge%define('off', deisa_float64, [nx, ny], [1, 1], nb_chunks_per_dim=[1, 1], stat=stat, errmsg=message)
    call expect(stat == deisa_error_argument .and. index(message, 'positions count from 0') > 0)
    call bridge%define('none', deisa_float64, [0, ny], [0, 0], nb_chunks_per_dim=[1, 1], stat=stat, errmsg=message)
    call expect(index(message, 'a rank that has no cells of an array does not define it') > 0)
    call bridge%ready(stat, message)
    call expect(stat == deisa_ok)
    allocate (t(nx, ny), source=1.0d0)
    step = 1
    call bridge%send('t', t, step, request, stat, message)
    call expect(stat == deisa_ok)
    call bridge%wait(request, stat=stat)
    call expect(stat == deisa_ok)
    call bridge%send('t', t(:, 2:), step + 1, stat=stat, errmsg=message)
    call expect(stat == deisa_error_contract .and. index(message, 'cannot change with the timestep') > 0)
    call bridge%begin_step(step + 1)
    call bridge%put('t', t)
    call bridge%loan('loan', loan, stat)
    loan = 2
    call bridge%put_loan('loan', loan, stat)
    call bridge%end_step(request)
    finished = .false.
    do while (.not. finished)
      call bridge%test(request, finished, stat)
    end do
    call bridge%send_loan('loan', loan, step + 2, stat=stat)
    call expect(stat == deisa_ok)
    count = -1
    on = .false.
    call bridge%get('gain', gain, found=found)
    call expect(found .and. abs(gain - 2.5d0) < 1d-12)
    call bridge%get('count', count, collective=.true., found=found, stat=stat)
    call expect(found .and. count == 12)
    call bridge%get('on', on, step, found=found)
    call expect(found .and. on)
    call bridge%get('none', on, found=found, stat=stat)
    call expect(.not. found .and. stat == deisa_not_found)
    call bridge%statistics(counters, stat)
    call expect(counters%chunks_sent == 4)
    call bridge%close(step + 3, stat)
    call expect(stat == deisa_ok .and. .not. bridge%is_open())

  contains

    subroutine expect(holds)
      logical, intent(in) :: holds
      if (.not. holds) run = run + 1_c_int
    end subroutine
  end function

end module wide
