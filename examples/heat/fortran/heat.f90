!> heat.c in Fortran: the heat equation on a 2-D grid of MPI ranks. After each timestep every rank sends
!> its block of two fields to the analytics (analytics.py), which steer back: they set the feedback
!> value "source_off", and the simulation then switches its heat source off.
program heat
  use, intrinsic :: iso_c_binding, only: c_int, c_long, c_ptr, c_null_ptr
  use, intrinsic :: iso_fortran_env, only: error_unit, output_unit, real64
  use deisa
  use heat_grid_module
  use heat_options_module
  use heat_problem
  use mpi_f08
  implicit none

  type(heat_grid) :: grid
  type(heat_block) :: block
  type(heat_options) :: options
  integer :: row, rows, column, columns
  logical :: good

  call MPI_Init()
  call grid%start()
  call options%read(grid%rank == 0, good)
  if (good .and. options%size < maxval(grid%shape)) then
    if (grid%rank == 0) write (error_unit, '(4(a,i0),a)') 'heat: ', options%size, ' x ', options%size, &
      ' cells are too few for ', grid%shape(1), ' x ', grid%shape(2), ' ranks'
    good = .false.
  end if
  if (good) then
    call part(options%size, grid%shape(1), grid%position(1), row, rows)
    call part(options%size, grid%shape(2), grid%position(2), column, columns)
    call block%start(options%size, row, rows, column, columns)
    call simulate(good)
  end if
  call MPI_Comm_free(grid%communicator)
  call MPI_Finalize()
  if (.not. good) stop 1

contains

  !> A bridge call that fails stops the program with its message, unless it has the argument `stat`;
  !> mpirun then ends the other ranks.
  subroutine simulate(good)
    logical, intent(out) :: good
    ! Local: leaving the subroutine abandons a bridge that was not closed.
    type(deisa_bridge) :: bridge
    type(deisa_statistics) :: status
    real(real64) :: begin, source_off
    integer :: step, substep, source_off_step

    call connect(bridge, good)
    if (.not. good) return
    source_off_step = -1
    source_off = 0
    do step = 0, options%steps - 1
      begin = MPI_Wtime()
      if (source_off_step < 0) then
        ! Collective: rank 0 reads and all ranks get the same answer, so they obey at the same step.
        call bridge%get('source_off', source_off, collective=.true.)
        if (abs(source_off) > 0) source_off_step = step
      end if
      do substep = 1, substeps
        call grid%exchange(block)
        call block%substep(source_off_step < 0)
      end do
      call grid%exchange(block)
      call block%compute_flux()
      call sleep_until(begin + options%pace)
      call bridge%begin_step(step)
      ! Without its ghost cells; t(i, j) here is t[i-1, j-1] in the analytics.
      call bridge%put('temperature', block%temperature(1:block%rows, 1:block%columns))
      call bridge%put('flux', block%flux)
      call bridge%end_step()
      if (grid%rank == 0) then
        write (output_unit, '(a,i0,a)') 'timestep ', step, ' sent, source ' // &
          trim(merge('on ', 'off', source_off_step < 0))
        flush (output_unit)
      end if
    end do
    call bridge%statistics(status)
    call bridge%close(options%steps)
    if (grid%rank == 0 .and. allocated(options%report)) call write_report(source_off_step, status, good)
  end subroutine

  subroutine connect(bridge, good)
    type(deisa_bridge), intent(inout) :: bridge
    logical, intent(out) :: good
    character(4096) :: message
    integer :: stat
    if (options%without_mpi) then
      ! The bridges find each other at DEISA_MASTER_ADDRESS and DEISA_MASTER_PORT.
      call bridge%open(options=deisa_options(bridge_id=grid%rank, world_size=product(grid%shape)))
    else
      call bridge%open(comm=grid%communicator)
    end if
    ! Two arrays on the same grid of chunks. Their global shapes follow from the chunks of all ranks.
    call bridge%define('flux', deisa_float32, chunk_shape=[block%rows, block%columns], &
      chunk_position=grid%position, nb_chunks_per_dim=grid%shape)
    call bridge%define('temperature', deisa_float64, chunk_shape=[block%rows, block%columns], &
      chunk_position=grid%position, nb_chunks_per_dim=grid%shape)
    ! Collective, and fails alike on every rank: one message is enough, and nobody waits.
    call bridge%ready(stat, message)
    good = stat >= 0
    if (.not. good .and. grid%rank == 0) write (error_unit, '(a)') 'heat: ' // trim(message)
  end subroutine

  !> What rank 0 has to tell the program that started it. A step of -1: the source was never off.
  subroutine write_report(source_off_step, status, good)
    integer, intent(in) :: source_off_step
    type(deisa_statistics), intent(in) :: status
    logical, intent(out) :: good
    integer :: unit, stat
    character(200) :: message
    open (newunit=unit, file=options%report, action='write', status='replace', iostat=stat, iomsg=message)
    if (stat == 0) then
      write (unit, '(5(a,i0),a)', iostat=stat, iomsg=message) '{"size": ', options%size, ', "steps": ', options%steps, &
        ', "grid": [', grid%shape(1), ', ', grid%shape(2), '], "source_off_step": ', source_off_step, ','
      write (unit, '(2(a,i0),a,f20.6,a)', iostat=stat, iomsg=message) ' "chunks_sent": ', status%chunks_sent, &
        ', "bytes_sent": ', status%bytes_sent, ', "seconds_blocked": ', status%seconds_blocked, '}'
      close (unit)
    end if
    good = stat == 0
    if (.not. good) write (error_unit, '(a)') options%report // ': ' // trim(message)
  end subroutine

  subroutine sleep_until(end)
    real(real64), intent(in) :: end
    type, bind(c) :: timespec
      integer(c_long) :: seconds, nanoseconds
    end type
    interface
      integer(c_int) function nanosleep(time, left) bind(c)
        import :: c_int, c_ptr, timespec
        type(timespec), intent(in) :: time
        type(c_ptr), value :: left
      end function
    end interface
    real(real64) :: left
    left = end - MPI_Wtime()
    if (left <= 0) return
    if (nanosleep(timespec(int(left, c_long), int((left - int(left)) * 1e9_real64, c_long)), c_null_ptr) /= 0) return
  end subroutine

end program heat
