!> As rows.c, in Fortran.
module rows_failures
  use deisa
  implicit none
  integer :: reported = 0

contains

  subroutine handle(failure)
    type(deisa_failure), intent(in) :: failure
    if (failure%status == deisa_error_resource) reported = reported + 1
  end subroutine

end module rows_failures

program rows
  use, intrinsic :: iso_fortran_env, only: int16, int64, real64
  use deisa
  use rows_failures
  implicit none

  type(deisa_bridge) :: bridge
  type(deisa_request) :: request
  type(deisa_statistics) :: counters
  character(12), parameter :: plain(4) = [character(12) :: 'strides', 'loan', 'asynchronous', 'steps']
  real(real64) :: block(4, 5), sparse(2, 6), chunk(2, 3)
  real(real64), pointer :: loan(:, :)
  integer(int16) :: numbers(2, 3)
  integer :: i, j, status

  call bridge%open(options=deisa_options(error_handler=handle))
  call bridge%define('written-halo', deisa_float64, [2, 3], [0, 0], global_shape=[2, 3], halo_before=[1, 1], &
    halo_after=[1, 1])
  call bridge%define('written-start', deisa_float64, [2, 3], start=[0, 0], global_shape=[2, 3])
  call bridge%define('written-order', deisa_float64, [2, 3], [0, 0], global_shape=[2, 3])
  call bridge%define('written-aggregate', deisa_float64, [2, 3], [0, 0], global_shape=[2, 3], aggregate='all', stat=status)
  call expect(status == deisa_error_argument, 'aggregate')
  call bridge%define('written-aggregate', deisa_float64, [2, 3], [0, 0], global_shape=[2, 3], aggregate='node')
  do i = 1, size(plain)
    call bridge%define('written-' // plain(i), deisa_float64, [2, 3], [0, 0], nb_chunks_per_dim=[1, 1])
  end do
  call bridge%define('written-unsigned', deisa_uint16, [2, 3], [0, 0], nb_chunks_per_dim=[1, 1])
  call bridge%ready()
  block = -1
  sparse = -1
  do i = 1, 2
    do j = 1, 3
      chunk(i, j) = 10 * (i - 1) + j - 1
      block(i + 1, j + 1) = chunk(i, j)
      sparse(i, 2 * j) = chunk(i, j)
      numbers(i, j) = int(65500 - 65536 + nint(chunk(i, j)), int16)
    end do
  end do

  call bridge%send('written-start', chunk, 0)
  call done('start')
  call bridge%send('written-aggregate', chunk, 0)
  call done('aggregate')
  call bridge%send('written-halo', block, 0)
  call done('halo')
  call bridge%send('written-order', chunk, 0)  ! whose first index is fastest
  call done('order')
  call bridge%send('written-strides', sparse(:, 2::2), 0)
  call done('strides')
  call bridge%loan('written-loan', loan)
  loan = chunk
  call bridge%send_loan('written-loan', loan, 0)
  call done('loan')
  call bridge%send('written-asynchronous', chunk, 0, request)
  call bridge%wait(request)
  call done('asynchronous')
  call bridge%send('written-unsigned', numbers, 0)
  call done('unsigned types')
  call bridge%begin_step(1)
  call bridge%put('written-steps', chunk)
  call bridge%end_step()
  call done('steps')
  call bridge%begin_step(2)
  call bridge%put('written-steps', chunk)
  call bridge%abandon_step()
  call done('abandoned step')
  call bridge%send('written-steps', chunk, 66)  ! which the node actor refuses
  call bridge%flush()
  call expect(reported == 1, 'error handler')
  call done('error handler')
  call feedback()
  call bridge%statistics(counters)
  call expect(counters%chunks_sent == 10 .and. counters%chunks_failed == 1 .and. counters%steps_skipped == 1, 'statistics')
  call done('statistics')
  call bridge%close(100)

contains

  subroutine expect(holds, row)
    logical, intent(in) :: holds
    character(*), intent(in) :: row
    if (.not. holds) then
      print '(a)', row // ' is wrong'
      error stop 1
    end if
  end subroutine

  subroutine done(row)
    character(*), intent(in) :: row
    print '(a)', 'row ' // row
  end subroutine

  subroutine feedback()
    real(real64) :: number
    integer :: whole
    logical :: flag, found
    character(:), allocatable :: text
    real(real64), allocatable :: array(:, :), values(:)
    integer(int64), allocatable :: timesteps(:)
    number = 0
    whole = 0
    flag = .false.
    call bridge%get('number', number)
    call expect(nint(2 * number) == 5, 'number')
    call done('number')
    call bridge%get('integer', whole)
    call expect(whole == -7, 'integer')
    call done('integer')
    call bridge%get('logical', flag)
    call expect(flag, 'logical')
    call done('logical')
    call bridge%get('text', text)
    call expect(len(text) == 3 .and. text(1:1) == 'h', 'text')
    call done('text')
    call bridge%get('array', array)
    call expect(all(shape(array) == [2, 3]), 'array')
    call expect(nint(array(2, 1)) == 3 .and. nint(array(1, 3)) == 2, 'array')
    call done('NumPy array')
    call bridge%get('gain', number, timestep=3, wait=20)
    call expect(nint(4 * number) == 1, 'timestep')
    call done('timestep and wait')
    number = 0
    call bridge%get('gain', number, timestep=3, wait=20.0, collective=.true.)
    call expect(nint(4 * number) == 1, 'collective')
    call done('collective')
    call bridge%get_all('gain', timesteps, values)
    call expect(all(timesteps == [1, 3]) .and. nint(4 * values(1)) == 2, 'all')
    call done('all kept values')
    call bridge%delete('number')
    call bridge%get('number', number, found=found)
    call expect(.not. found, 'delete')
    call done('delete')
  end subroutine

end program rows
