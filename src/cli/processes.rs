//! Processes that `mpirun` or a job array has started: which of them this is.

use std::sync::atomic::AtomicBool;

use n2n_gpu::train::Team;

/// One of several processes, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) rank: usize,
    pub(super) size: usize,
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

impl Process {
    /// Of those that this command was started as, if they are several: by Open MPI, or what has variables like MPICH.
    pub(super) fn of_mpirun() -> Option<Self> {
        let of = |rank, size| Some(Self { rank: number(rank)?, size: number(size)? });
        let found = of("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE").or_else(|| of("PMI_RANK", "PMI_SIZE"));
        found.filter(|p| p.size > 1 && p.rank < p.size)
    }

    /// The same, or the one of an array of jobs: Slurm's, or that of the Grid Engine family, which counts from 1.
    pub(super) fn of_jobs() -> Option<Self> {
        let slurm = || {
            let rank = number("SLURM_ARRAY_TASK_ID")?.checked_sub(number("SLURM_ARRAY_TASK_MIN")?)?;
            Some(Self { rank, size: number("SLURM_ARRAY_TASK_COUNT")? })
        };
        let grid_engine = || Some(Self { rank: number("SGE_TASK_ID")?.checked_sub(1)?, size: number("SGE_TASK_LAST")? });
        Self::of_mpirun().or_else(slurm).or_else(grid_engine).filter(|p| p.rank < p.size)
    }

    /// Number of this process among those on the same machine.
    pub(super) fn local_rank() -> Option<usize> {
        Self::of_mpirun()?;
        number("OMPI_COMM_WORLD_LOCAL_RANK").or_else(|| number("MPI_LOCALRANKID"))
    }
}

/// Joins the processes that `mpirun` started with this one, if it did.
#[cfg(feature = "mpi")]
pub(super) fn join(stop: &'static AtomicBool) -> anyhow::Result<Option<Box<dyn Team>>> {
    match Process::of_mpirun() {
        Some(_) => Ok(Some(Box::new(n2n_gpu::train::Mpi::join(stop)?))),
        None => Ok(None),
    }
}

/// Refuses to be one of several processes, which would all train the same.
#[cfg(not(feature = "mpi"))]
pub(super) fn join(_: &'static AtomicBool) -> anyhow::Result<Option<Box<dyn Team>>> {
    match Process::of_mpirun() {
        Some(Process { rank, size }) => Err(super::Usage::new(format!(
            "process {rank} of {size}: this program was built without MPI: build it with `cargo install --path . --features mpi`"
        ))),
        None => Ok(None),
    }
}
