!> What the module deisa needs of C: the constants and functions of deisa.h and glue.h.
!> Programs use the module deisa, which passes the public constants on.
module deisa_c
  use, intrinsic :: iso_c_binding
  implicit none
  private

  ! Status: negative is an error, positive is success with further information.
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
  integer, parameter, public :: deisa_ack_received = 0
  integer, parameter, public :: deisa_ack_stored = 1
  integer, parameter, public :: deisa_ack_announced = 2

  ! deisa_options%when_full: what a rank does while a timestep may not begin.
  integer, parameter, public :: deisa_when_full_block = 0
  integer, parameter, public :: deisa_when_full_skip = 1
  integer, parameter, public :: deisa_when_full_fail = 2

  ! deisa_options%error_mode: what happens to a failure that is no violation of the contract.
  integer, parameter, public :: deisa_errors_report = 0
  integer, parameter, public :: deisa_errors_return = 1

  ! dtype of define. What Fortran has no type for is sent from integers of the same size, bit by bit.
  integer, parameter, public :: deisa_bool = 1
  integer, parameter, public :: deisa_int8 = 2
  integer, parameter, public :: deisa_int16 = 3
  integer, parameter, public :: deisa_int32 = 4
  integer, parameter, public :: deisa_int64 = 5
  integer, parameter, public :: deisa_uint8 = 6
  integer, parameter, public :: deisa_uint16 = 7
  integer, parameter, public :: deisa_uint32 = 8
  integer, parameter, public :: deisa_uint64 = 9
  integer, parameter, public :: deisa_float16 = 10
  integer, parameter, public :: deisa_float32 = 11
  integer, parameter, public :: deisa_float64 = 12
  integer, parameter, public :: deisa_complex64 = 13
  integer, parameter, public :: deisa_complex128 = 14

  ! NumPy's names of them.
  character(*), parameter, public :: dtype_names(14) = [character(10) :: 'bool', 'int8', 'int16', 'int32', 'int64', &
    'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64', 'complex64', 'complex128']

  ! deisa_value_kind
  integer(c_int), parameter, public :: value_bool = 1, value_integer = 2, value_unsigned = 3, &
    value_number = 4, value_string = 5, value_array = 9

  ! The newest value, whatever its timestep; and the value for "no timestep" in an error.
  integer(c_int64_t), parameter, public :: latest = ibset(0_c_int64_t, 63)

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
    real(c_double) :: block_timeout, store_threshold, feedback_interval
    type(c_funptr) :: error_handler = c_null_funptr
    type(c_ptr) :: error_handler_data = c_null_ptr
  end type

  !> deisa_get_options
  type, bind(c), public :: c_get_options
    integer(c_size_t) :: struct_size = 0
    integer(c_int64_t) :: timestep = latest
    real(c_double) :: wait = 0
    integer(c_int32_t) :: collective = 0, all = 0, chunked = 0
  end type

  !> deisa_value
  type, bind(c), public :: c_value
    integer(c_int) :: kind, dtype
    integer(c_int32_t) :: ndim
    integer(c_int64_t) :: integer, unsigned_integer
    real(c_double) :: number
    integer(c_size_t) :: size
    type(c_ptr) :: data, shape, keys, items
  end type

  !> deisa_statistics
  type, bind(c), public :: c_statistics
    integer(c_size_t) :: struct_size
    integer(c_int64_t) :: steps_sent, steps_skipped
    integer(c_int64_t) :: chunks_sent, chunks_stored, chunks_announced, chunks_failed, chunks_lost, chunks_filtered
    integer(c_int64_t) :: chunks_in_flight, bytes_sent, bytes_copied
    real(c_double) :: seconds_blocked
    integer(c_int64_t) :: errors, errors_earlier
  end type

  public :: c_open, c_define_json, c_ready, c_send, c_put, c_begin_step, c_end_step, c_abandon_step, c_wait, c_test
  public :: c_flush, c_close, c_abandon, c_get, c_get_double, c_get_int64, c_delete, c_get_statistics, c_fail, c_describe

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

    integer(c_int) function c_send(bridge, name, array, dtype, halo, timestep, request, error) &
        bind(c, name='deisa_fortran_send')
      import :: c_int, c_char, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int), value :: dtype
      integer(c_int64_t), intent(in) :: halo(*)
      integer(c_int64_t), value :: timestep
      integer(c_int64_t), intent(inout), optional :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_put(bridge, name, array, dtype, halo, error) bind(c, name='deisa_fortran_put')
      import :: c_int, c_char, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int), value :: dtype
      integer(c_int64_t), intent(in) :: halo(*)
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_begin_step(bridge, timestep, error) bind(c, name='deisa_begin_step')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), value :: timestep
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_end_step(bridge, request, error) bind(c, name='deisa_end_step')
      import :: c_int, c_int64_t, c_ptr, c_error
      type(c_ptr), value :: bridge
      integer(c_int64_t), intent(inout), optional :: request
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_abandon_step(bridge, error) bind(c, name='deisa_abandon_step')
      import :: c_int, c_ptr, c_error
      type(c_ptr), value :: bridge
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

    integer(c_int) function c_get(bridge, key, options, value, error) bind(c, name='deisa_get')
      import :: c_int, c_char, c_ptr, c_error, c_get_options
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      type(c_get_options), intent(in) :: options
      type(c_ptr), intent(inout) :: value
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_get_double(bridge, key, options, value, error) bind(c, name='deisa_get_double')
      import :: c_int, c_char, c_double, c_ptr, c_error, c_get_options
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      type(c_get_options), intent(in) :: options
      real(c_double), intent(inout) :: value
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_get_int64(bridge, key, options, value, error) bind(c, name='deisa_get_int64')
      import :: c_int, c_char, c_int64_t, c_ptr, c_error, c_get_options
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      type(c_get_options), intent(in) :: options
      integer(c_int64_t), intent(inout) :: value
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_delete(bridge, key, error) bind(c, name='deisa_delete')
      import :: c_int, c_char, c_ptr, c_error
      type(c_ptr), value :: bridge
      character(kind=c_char), intent(in) :: key(*)
      type(c_error), intent(inout) :: error
    end function

    integer(c_int) function c_get_statistics(bridge, out, error) bind(c, name='deisa_get_statistics')
      import :: c_int, c_ptr, c_statistics, c_error
      type(c_ptr), value :: bridge
      type(c_statistics), intent(inout) :: out
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
