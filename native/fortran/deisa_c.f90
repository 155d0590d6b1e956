!> What the module deisa needs of C: the constants and functions of deisa.h and glue.h.
!> Programs use the module deisa, which passes the public constants on.
module deisa_c
  use, intrinsic :: iso_c_binding
  implicit none
  private

  ! Status: negative is an error, positive is success with something to know.
  integer, parameter, public :: deisa_ok = 0
  integer, parameter, public :: deisa_skipped = 1
  integer, parameter, public :: deisa_not_found = 2
  integer, parameter, public :: deisa_reported = 3
  integer, parameter, public :: deisa_pending = 4
  integer, parameter, public :: deisa_error_argument = -1
  integer, parameter, public :: deisa_error_contract = -2
  integer, parameter, public :: deisa_error_timeout = -3
  integer, parameter, public :: deisa_error_communicator = -4
  integer, parameter, public :: deisa_error_connection = -5
  integer, parameter, public :: deisa_error_resource = -6
  integer, parameter, public :: deisa_error_unsupported = -7
  integer, parameter, public :: deisa_error_internal = -8

  ! deisa_options%acknowledge: when a send returns.
  integer, parameter, public :: deisa_received = 0
  integer, parameter, public :: deisa_stored = 1
  integer, parameter, public :: deisa_announced = 2

  ! deisa_options%when_full: what a rank does while a timestep may not begin.
  integer, parameter, public :: deisa_full_block = 0
  integer, parameter, public :: deisa_full_drop = 1
  integer, parameter, public :: deisa_full_fail = 2

  ! deisa_options%error_mode: what happens to a failure that is no violation of the contract.
  integer, parameter, public :: deisa_errors_report = 0
  integer, parameter, public :: deisa_errors_raise = 1

  ! dtype of define.
  integer, parameter, public :: deisa_bool = 1
  integer, parameter, public :: deisa_int8 = 2
  integer, parameter, public :: deisa_int16 = 3
  integer, parameter, public :: deisa_int32 = 4
  integer, parameter, public :: deisa_int64 = 5
  integer, parameter, public :: deisa_float32 = 11
  integer, parameter, public :: deisa_float64 = 12
  integer, parameter, public :: deisa_complex64 = 13
  integer, parameter, public :: deisa_complex128 = 14

  ! NumPy's names of all dtypes of deisa.h, of which Fortran has those above.
  character(*), parameter, public :: dtype_names(14) = [character(10) :: 'bool', 'int8', 'int16', 'int32', 'int64', &
    'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64', 'complex64', 'complex128']

  ! The newest value, whatever its timestep; and its flag for an answer that is the same on all ranks.
  integer(c_int64_t), parameter, public :: latest = ibset(0_c_int64_t, 63)
  integer(c_int), parameter, public :: collective_flag = 1

  ! Options that are not given.
  integer(c_int32_t), parameter, public :: unset_integer = -huge(0_c_int32_t)
  real(c_double), parameter, public :: unset_real = -huge(0.0_c_double)

  !> deisa_error
  type, bind(c), public :: c_error
    integer(c_int) :: status
    integer(c_int32_t) :: rank
    integer(c_int64_t) :: timestep
    character(kind=c_char) :: array(256)
    character(kind=c_char) :: message(4096)
    integer(c_int32_t) :: earlier
  end type

  !> deisa_fortran_options
  type, bind(c), public :: c_options
    integer(c_int32_t) :: bridge_id, world_size, master_port, init_retries, max_in_flight
    integer(c_int32_t) :: when_full, max_ahead, window
    integer(c_int32_t) :: acknowledge, error_mode
    real(c_double) :: comm_timeout, ready_timeout, send_timeout
    real(c_double) :: block_timeout, store_threshold
  end type

  public :: c_open, c_define_json, c_ready, c_send, c_put, c_begin_step, c_end_step, c_end_step_async, c_wait, c_test
  public :: c_flush, c_close, c_abandon, c_get_double, c_get_int64, c_get_text, c_delete, c_status, c_fail, c_describe

  interface
    integer(c_int) function c_open(given, master_address, ray_address, node_id, node_actor, comm, bridge, error) &
        bind(c, name='deisa_fortran_open')
      import :: c_int, c_char, c_ptr, c_options, c_error
      type(c_options), intent(in) :: given
      character(kind=c_char), intent(in) :: master_address(*), ray_address(*), node_id(*), node_actor(*)
      integer(c_int), intent(in), optional :: comm
      type(c_ptr), intent(out) :: bridge
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_define_json(bridge, arrays_metadata, error) bind(c, name='deisa_define_json')
      import :: c_int, c_char, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: arrays_metadata(*)
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_ready(bridge, error) bind(c, name='deisa_ready')
      import :: c_int, c_ptr, c_error
      type(c_ptr), value :: bridge
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_send(bridge, name, array, dtype, timestep, request, error) &
        bind(c, name='deisa_fortran_send')
      import :: c_int, c_char, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int), value :: dtype
      integer(c_int64_t), value :: timestep
      integer(c_int64_t), intent(inout), optional :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_put(bridge, name, array, dtype, error) bind(c, name='deisa_fortran_put')
      import :: c_int, c_char, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int), value :: dtype
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_begin_step(bridge, timestep, error) bind(c, name='deisa_begin_step')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), value :: timestep
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_end_step(bridge, error) bind(c, name='deisa_end_step')
      import :: c_int, c_ptr, c_error
      type(c_ptr), value :: bridge
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_end_step_async(bridge, request, error) bind(c, name='deisa_end_step_async')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), intent(inout) :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_wait(bridge, request, error) bind(c, name='deisa_wait')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), intent(inout) :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_test(bridge, request, error) bind(c, name='deisa_test')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), intent(inout) :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_flush(bridge, error) bind(c, name='deisa_flush')
      import :: c_int, c_ptr, c_error
      type(c_ptr), value :: bridge
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_close(bridge, timestep, error) bind(c, name='deisa_close')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), intent(inout) :: bridge
      integer(c_int64_t), value :: timestep
      type(c_error), intent(inout) :: error
    end function

    subroutine c_abandon(bridge) bind(c, name='deisa_abandon')
      import :: c_ptr
      type(c_ptr), intent(inout) :: bridge
    end subroutine

    integer(c_int) function c_get_double(bridge, key, timestep, flags, value, error) bind(c, name='deisa_get_double')
      import :: c_int, c_char, c_int64_t, c_double, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      integer(c_int64_t), value :: timestep
      integer(c_int), value :: flags
      real(c_double), intent(inout) :: value
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_get_int64(bridge, key, timestep, flags, value, error) bind(c, name='deisa_get_int64')
      import :: c_int, c_char, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      integer(c_int64_t), value :: timestep
      integer(c_int), value :: flags
      integer(c_int64_t), intent(inout) :: value
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_get_text(bridge, key, timestep, flags, text, length, error) &
        bind(c, name='deisa_fortran_get_text')
      import :: c_int, c_char, c_int64_t, c_size_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      integer(c_int64_t), value :: timestep
      integer(c_int), value :: flags
      type(c_ptr), intent(inout) :: text
      integer(c_size_t), intent(inout) :: length
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_delete(bridge, key, error) bind(c, name='deisa_delete')
      import :: c_int, c_char, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_status(bridge, counters, count, seconds_blocked, error) &
        bind(c, name='deisa_fortran_status')
      import :: c_int, c_int32_t, c_int64_t, c_double, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), intent(inout) :: counters(*)
      integer(c_int32_t), value :: count
      real(c_double), intent(inout) :: seconds_blocked
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_fail(status, array, message, error) bind(c, name='deisa_fortran_fail')
      import :: c_int, c_char, c_error
      integer(c_int), value :: status
      character(kind=c_char), intent(in) :: array(*), message(*)
      type(c_error), intent(inout) :: error
    end function

    subroutine c_describe(error, text, capacity) bind(c, name='deisa_fortran_describe')
      import :: c_char, c_size_t, c_error
      type(c_error), intent(in) :: error
      character(kind=c_char), intent(inout) :: text(*)
      integer(c_size_t), value :: capacity
    end subroutine
  end interface

end module deisa_c
