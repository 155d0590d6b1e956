!> What a Fortran program does about an error: stop with the message, or go on if it asked for `stat`.
!>
!>   fortran_stops unopened|options|copy|asked|disabled
program fortran_stops
  use, intrinsic :: iso_fortran_env, only: real64
  use deisa
  implicit none
  type(deisa_bridge) :: bridge, other
  real(real64) :: t(4, 3)
  character(20) :: mode
  character(200) :: message
  integer :: stat

  t = 0
  call get_command_argument(1, mode)
  select case (mode)
  case ('unopened')
    call bridge%send('t', t, 0)
  case ('options')
    call bridge%open(options=deisa_options(world_size=0))
  case ('copy')
    other = bridge
  case ('asked')
    call bridge%send('t', t, 0, stat=stat, errmsg=message)
    write (*, '(a,l1,1x,a)') 'error ', stat == deisa_error_contract, trim(message)
  case ('disabled')
    call bridge%open(options=deisa_options(ray_address='127.0.0.1:1'))
    call bridge%define('t', deisa_float64, [4, 3], [0, 0], nb_chunks_per_dim=[1, 1])
    call bridge%ready()
    call bridge%send('t', t(4:1:-1, :), 0)
    call bridge%close(1)
  end select
  write (*, '(a)') 'went on'
end program fortran_stops
