program first
  use, intrinsic :: iso_fortran_env, only: real64
  use deisa
  implicit none
  type(deisa_bridge) :: bridge
  real(real64) :: temperature(0:5, 0:7)   ! 4 x 6 cells and a border of ghost cells, which is not sent
  integer :: step, i, j

  call bridge%open()
  call bridge%define('temperature', deisa_float64, chunk_shape=[4, 6], &
                     chunk_position=[0, 0], nb_chunks_per_dim=[1, 1])
  call bridge%ready()   ! waits for the analytics
  temperature = -1
  do step = 0, 9
    do j = 1, 6
      do i = 1, 4
        temperature(i, j) = 100 * step + 6 * (i - 1) + (j - 1)
      end do
    end do
    call bridge%send('temperature', temperature(1:4, 1:6), step)
  end do
  call bridge%close(10)
end program first
