!> The 2-D grid of ranks: who computes which block, and the exchange of ghost cells.
module heat_grid_module
  use, intrinsic :: iso_fortran_env, only: real64
  use heat_problem
  use mpi_f08
  implicit none
  private
  public :: heat_grid

  type :: heat_grid
    type(MPI_Comm) :: communicator
    integer :: rank
    integer :: shape(2)     ! ranks per dimension: rows, columns
    integer :: position(2)  ! of this rank, from 0
    integer :: above, below, left, right  ! neighbours, or MPI_PROC_NULL at an edge of the square
  contains
    procedure :: start
    procedure :: exchange
  end type

  public :: part

contains

  !> Arranges the ranks of MPI_COMM_WORLD. Collective.
  subroutine start(this)
    class(heat_grid), intent(out) :: this
    integer :: size
    call MPI_Comm_size(MPI_COMM_WORLD, size)
    this%shape = 0
    call MPI_Dims_create(size, 2, this%shape)
    ! No reordering: the rank here is the rank in MPI_COMM_WORLD.
    call MPI_Cart_create(MPI_COMM_WORLD, 2, this%shape, [.false., .false.], .false., this%communicator)
    call MPI_Comm_rank(this%communicator, this%rank)
    call MPI_Cart_coords(this%communicator, this%rank, 2, this%position)
    call MPI_Cart_shift(this%communicator, 0, 1, this%above, this%below)
    call MPI_Cart_shift(this%communicator, 1, 1, this%left, this%right)
  end subroutine

  !> Part `index` of `parts` of 0 ... size-1: its first element and its length. Lengths differ by at
  !> most one: 10 over 4 is 3, 3, 2, 2.
  subroutine part(size, parts, index, first, length)
    integer, intent(in) :: size, parts, index
    integer, intent(out) :: first, length
    length = size / parts
    first = index * length + min(index, mod(size, parts))
    if (index < mod(size, parts)) length = length + 1
  end subroutine

  !> Fills the ghost cells from the neighbours; at an edge of the square, where nothing flows, from the
  !> cell beside them. Collective.
  subroutine exchange(this, block)
    class(heat_grid), intent(in) :: this
    type(heat_block), intent(inout) :: block
    integer :: rows, columns
    rows = block%rows
    columns = block%columns
    associate (t => block%temperature)
      call shift(this, t(1, 1:columns), this%above, this%below, t(rows + 1, 1:columns))
      call shift(this, t(rows, 1:columns), this%below, this%above, t(0, 1:columns))
      call shift(this, t(1:rows, 1), this%left, this%right, t(1:rows, columns + 1))
      call shift(this, t(1:rows, columns), this%right, this%left, t(1:rows, 0))
      if (this%above == MPI_PROC_NULL) t(0, 1:columns) = t(1, 1:columns)
      if (this%below == MPI_PROC_NULL) t(rows + 1, 1:columns) = t(rows, 1:columns)
      if (this%left == MPI_PROC_NULL) t(1:rows, 0) = t(1:rows, 1)
      if (this%right == MPI_PROC_NULL) t(1:rows, columns + 1) = t(1:rows, columns)
    end associate
  end subroutine

  !> Sends `edge` to one neighbour, and receives `ghost` from the other.
  subroutine shift(this, edge, to, from, ghost)
    class(heat_grid), intent(in) :: this
    real(real64), intent(in) :: edge(:)
    integer, intent(in) :: to, from
    real(real64), intent(inout) :: ghost(:)
    real(real64) :: sent(size(edge)), received(size(ghost))
    sent = edge
    call MPI_Sendrecv(sent, size(sent), MPI_DOUBLE_PRECISION, to, 0, received, size(received), &
      MPI_DOUBLE_PRECISION, from, 0, this%communicator, MPI_STATUS_IGNORE)
    if (from /= MPI_PROC_NULL) ghost = received
  end subroutine

end module heat_grid_module
