!> mixed.c in Fortran: mixed_fortran RANK RANKS.
program mixed
  use, intrinsic :: iso_fortran_env, only: int32, real64
  use deisa
  implicit none

  integer, parameter :: rows = 3, columns = 4, steps = 3
  type(deisa_bridge) :: bridge
  type(deisa_options) :: options
  real(real64) :: field(0:rows + 1, 0:columns + 1), gain
  integer(int32) :: mine
  integer :: rank, ranks, i, j, step

  rank = argument(1)
  ranks = argument(2)
  options%bridge_id = rank
  options%world_size = ranks
  call bridge%open(options=options)
  call bridge%define('field', deisa_float64, chunk_shape=[rows, columns], chunk_position=[rank, 0], &
    nb_chunks_per_dim=[ranks, 1])
  call bridge%define('number', deisa_int32, chunk_shape=[1], chunk_position=[rank], nb_chunks_per_dim=[ranks])
  call bridge%ready()

  do step = 0, steps - 1
    gain = 1
    call bridge%get('gain', gain, collective=.true.)
    field = -1
    do j = 1, columns
      do i = 1, rows
        field(i, j) = gain * (1000 * step + 10 * (rank * rows + i - 1) + j - 1 + 0.25_real64)
      end do
    end do
    mine = int(100 * step + rank, int32)
    call bridge%begin_step(step)
    call bridge%put('field', field(1:rows, 1:columns))
    call bridge%put('number', mine)
    call bridge%end_step()
  end do
  call bridge%close(steps)
  write (*, '(a,i0,a)') 'rank ', rank, ' in Fortran is done'

contains

  integer function argument(which)
    integer, intent(in) :: which
    character(16) :: text

    call get_command_argument(which, text)
    read (text, *) argument
  end function

end program mixed
