!> The heat equation on a square of n x n cells with insulated edges, and one rank's block of it: what
!> problem.c computes, to the last bit. Each expression has its order of operations, and this file is
!> compiled without fused multiply-add.
!>
!> Row i and column j are 1-based here, cell (i, j) of the block is cell (row + i - 1, column + j - 1)
!> of the square.
module heat_problem
  use, intrinsic :: iso_fortran_env, only: int64, real32, real64
  implicit none
  private
  public :: heat_block, substeps

  integer, parameter :: substeps = 50
  real(real64), parameter :: diffusion = 0.2_real64     ! diffusivity * time / area of a cell
  real(real64), parameter :: source_rate = 0.02_real64  ! kelvin per sub-step

  type :: heat_block
    integer :: rows, columns                        ! cells of this block
    real(real64), allocatable :: temperature(:, :)  ! (0:rows+1, 0:columns+1): a frame of ghost cells
    real(real64), allocatable, private :: next(:, :)
    real(real32), allocatable :: flux(:, :)         ! (rows, columns): magnitude of the gradient
    logical, allocatable, private :: heated(:, :)   ! (rows, columns)
  contains
    procedure :: start
    procedure :: substep
    procedure :: compute_flux
  end type

contains

  !> Allocates the block and sets its temperature at the start. `row` and `column` are the block's first
  !> cell in the square of `size` x `size` cells, counted from 0.
  subroutine start(this, size, row, rows, column, columns)
    class(heat_block), intent(out) :: this
    integer, intent(in) :: size, row, rows, column, columns
    integer :: i, j
    this%rows = rows
    this%columns = columns
    allocate (this%temperature(0:rows + 1, 0:columns + 1), this%next(0:rows + 1, 0:columns + 1), source=0.0_real64)
    allocate (this%flux(rows, columns), source=0.0_real32)
    allocate (this%heated(rows, columns))
    do j = 1, columns
      do i = 1, rows
        this%temperature(i, j) = initial(int(size, int64), int(row + i - 1, int64), int(column + j - 1, int64))
        this%heated(i, j) = is_heated(int(size, int64), int(row + i - 1, int64), int(column + j - 1, int64))
      end do
    end do
  end subroutine

  !> A warm rectangle, so that a field that is mirrored or transposed is not the same field.
  real(real64) function initial(n, i, j)
    integer(int64), intent(in) :: n, i, j
    initial = merge(4.0_real64, 0.0_real64, 10 * i >= 6 * n .and. 10 * i < 8 * n .and. 10 * j >= n .and. 10 * j < 4 * n)
  end function

  !> A disc of radius 0.15 n around (0.4 n, 0.6 n), in integers so that every language agrees.
  logical function is_heated(n, i, j)
    integer(int64), intent(in) :: n, i, j
    integer(int64) :: y, x
    y = 10 * i + 5 - 4 * n
    x = 10 * j + 5 - 6 * n
    is_heated = 4 * (y * y + x * x) <= 9 * n * n
  end function

  !> One explicit sub-step. The ghost cells must be up to date before; they are not after.
  subroutine substep(this, source_is_on)
    class(heat_block), intent(inout) :: this
    logical, intent(in) :: source_is_on
    real(real64), allocatable :: last(:, :)
    real(real64) :: around
    integer :: i, j
    associate (t => this%temperature, next => this%next)
      do j = 1, this%columns
        do i = 1, this%rows
          around = (t(i - 1, j) + t(i + 1, j)) + (t(i, j - 1) + t(i, j + 1))
          next(i, j) = t(i, j) + diffusion * (around - 4.0_real64 * t(i, j))
          if (source_is_on .and. this%heated(i, j)) next(i, j) = next(i, j) + source_rate
        end do
      end do
    end associate
    call move_alloc(this%temperature, last)
    call move_alloc(this%next, this%temperature)
    call move_alloc(last, this%next)
  end subroutine

  !> Computes `flux`. The ghost cells must be up to date.
  subroutine compute_flux(this)
    class(heat_block), intent(inout) :: this
    real(real64) :: y, x
    integer :: i, j
    associate (t => this%temperature)
      do j = 1, this%columns
        do i = 1, this%rows
          y = 0.5_real64 * (t(i + 1, j) - t(i - 1, j))
          x = 0.5_real64 * (t(i, j + 1) - t(i, j - 1))
          this%flux(i, j) = real(sqrt(y * y + x * x), real32)
        end do
      end do
    end associate
  end subroutine

end module heat_problem
