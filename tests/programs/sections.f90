!> A simulation of MPI ranks that sends what Fortran programs have: sections with ghost cells, pointers
!> that are not contiguous, arrays backwards, complex numbers, a logical mask, a scalar; and what they compute
!> in the bridge's memory. The ranks stand
!> one below the other: each has `nx` rows of the global arrays. test_fortran.py knows the formulas.
program sections
  use, intrinsic :: iso_fortran_env, only: int64, real32, real64
  use deisa
  use mpi  ! a communicator is an integer here
  implicit none

  integer, parameter :: nx = 4, ny = 3, nz = 2, steps = 2
  type(deisa_bridge) :: bridge
  type(deisa_request) :: request
  type(deisa_statistics) :: status
  real(real64) :: t(0:nx + 1, 0:ny + 1)
  real(real32), target :: field(2 * nx, 3 * ny)
  real(real32), pointer :: p(:, :)
  real(real64), pointer :: lent(:, :)
  integer(int64) :: backwards(nx, ny)
  complex(real64) :: spectrum(nx, ny, nz)
  logical :: mask(nx, ny)
  integer :: rank, ranks, i, j, k, row, step, failed

  call MPI_Init(failed)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, failed)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks, failed)

  call bridge%open(comm=MPI_COMM_WORLD)
  call define('ghosts', deisa_float64)
  call define('pointer', deisa_float32)
  call define('backwards', deisa_int64)
  call define('mask', deisa_bool)
  call define('lent', deisa_float64)
  call bridge%define('spectrum', deisa_complex128, chunk_shape=[nx, ny, nz], chunk_position=[rank, 0, 0], &
    global_shape=[nx * ranks, ny, nz])
  call bridge%define('scalar', deisa_int32, chunk_shape=[1], chunk_position=[rank], nb_chunks_per_dim=[ranks])
  call bridge%ready()
  call bridge%loan('lent', lent)

  do step = 0, steps - 1
    t = -1
    field = -1
    p => field(1::2, 2::3)
    do j = 1, ny
      do i = 1, nx
        row = rank * nx + i - 1
        t(i, j) = 1000 * step + 100 * row + (j - 1) + 0.25_real64
        p(i, j) = real(t(i, j), real32)
        lent(i, j) = t(i, j) + 0.5_real64
        backwards(nx + 1 - i, j) = 1000 * step + 100 * row + (j - 1)
        mask(i, j) = mod(row + 2 * (j - 1) + step, 3) == 0
        do k = 1, nz
          spectrum(i, j, k) = cmplx(1000 * step + 100 * row + 10 * (j - 1), k - 1, real64)
        end do
      end do
    end do
    call bridge%begin_step(step)
    call bridge%put('ghosts', t(1:nx, 1:ny))
    call bridge%put('pointer', p)
    call bridge%put('backwards', backwards(nx:1:-1, :))
    call bridge%put('mask', mask)
    call bridge%put('spectrum', spectrum)
    call bridge%put('scalar', 10 * step + rank)
    call bridge%put_loan('lent', lent)
    call bridge%end_step(request)
    call bridge%wait(request)
  end do

  call bridge%statistics(status)
  call bridge%close(steps)
  write (*, '(3(a,i0))') 'rank ', rank, ': chunks ', status%chunks_sent, ', copied ', status%bytes_copied
  call MPI_Finalize(failed)

contains

  subroutine define(name, dtype)
    character(*), intent(in) :: name
    integer, intent(in) :: dtype
    call bridge%define(name, dtype, chunk_shape=[nx, ny], chunk_position=[rank, 0], nb_chunks_per_dim=[ranks, 1])
  end subroutine

end program sections
