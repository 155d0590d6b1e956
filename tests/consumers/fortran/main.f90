!> A simulation of one rank, with ghost cells around its chunk of 2 x 3 elements.
program consumer
  use, intrinsic :: iso_fortran_env, only: real64
  use deisa
  implicit none
  type(deisa_bridge) :: bridge
  real(real64) :: t(0:3, 0:4)
  integer :: i, j, step

  call bridge%open()
  call bridge%define('temperature', deisa_float64, chunk_shape=[2, 3], chunk_position=[0, 0], &
    nb_chunks_per_dim=[1, 1])
  call bridge%ready()
  t = -1
  do step = 0, 2
    do j = 1, 3
      do i = 1, 2
        t(i, j) = 1e6_real64 * step + 3 * (i - 1) + (j - 1)
      end do
    end do
    call bridge%send('temperature', t(1:2, 1:3), step)
  end do
  call bridge%close(3)
  print '(a)', 'done'
end program consumer
