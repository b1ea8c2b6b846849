//! How a step is run: alone, or with other processes, which each draw a part of every batch and sum their gradients while the
//! backward pass goes on.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use super::schedule::ema_decay;
use super::team::{Team, Vote, least_seconds};
use super::trainer::{Feed, Trainer};
use crate::error::Result;
use crate::ops::{Accumulated, summed_parts};
use crate::plan::Ticket;

/// Pieces in which a team sums gradients: each goes to the others while the next is computed.
pub(super) const PIECES: usize = 4;
/// Pause between looks at whether a device has brought what it was asked for.
const PAUSE: Duration = Duration::from_micros(50);
/// Longest wait for files before it is looked whether the training is to stop.
const PATIENCE: Duration = Duration::from_millis(100);

impl Trainer {
    /// Whether there are all pictures that the next step draws from. Files are waited for, but not for long.
    pub(super) fn is_ready(&mut self) -> Result<bool> {
        match (&self.feed, &mut self.ring) {
            (Feed::Pictures(pictures, _), Some(ring)) => {
                ring.bring_to(self.number, self.executor.as_mut(), *pictures, Some(Instant::now() + PATIENCE))
            }
            _ => Ok(true),
        }
    }

    /// Submits a step, with the share of the training that is done.
    pub(super) fn advance(&mut self, share: f64) -> Result<()> {
        self.prepare(share)?;
        match self.step.sums {
            None => {
                self.draw(0)?;
                self.executor.run()?;
            }
            Some(sums) => {
                self.sum_batches(sums, self.options.accumulate)?;
                self.executor.run_nodes(self.nodes() - 1..self.nodes())?;
            }
        }
        self.number += 1;
        Ok(())
    }

    /// The same in a team, which also agrees on how to go on.
    pub(super) fn advance_with(&mut self, team: &mut dyn Team, share: f64, vote: Vote) -> Result<Vote> {
        self.prepare(share)?;
        let sums = self.step.sums.expect("a team sums gradients");
        self.sum_batches(sums, self.options.accumulate - 1)?;
        self.begin_batch(sums, self.options.accumulate - 1)?;
        let vote = self.sum_last_batch(team, sums, vote)?;
        self.executor.run_nodes(self.nodes() - 1..self.nodes())?;
        self.number += 1;
        Ok(vote)
    }

    /// Seconds that a batch of this process takes, forward and backward. Nothing is learned from it: running statistics, which a
    /// forward pass changes, are what they were.
    pub(super) fn seconds(&mut self) -> Result<f64> {
        let sums = self.step.sums.expect("a team sums gradients");
        self.begin_batch(sums, 0)?;
        let (last, params) = (self.nodes() - 1, self.executor.read(self.step.params)?);
        let seconds = least_seconds(|| {
            self.executor.run_nodes(0..last)?;
            self.executor.wait()
        })?;
        self.executor.write(self.step.params, &params)?;
        Ok(seconds)
    }

    /// Nodes of the step, of which the last is the optimizer.
    fn nodes(&self) -> usize {
        self.executor.plan().graph.nodes().len()
    }

    /// Writes what a step needs beside pictures.
    fn prepare(&mut self, share: f64) -> Result<()> {
        let (number, optimizer) = (self.number, self.step.optimizer);
        let control = optimizer.control(number + 1, self.rate(number, share), ema_decay(number, self.options.ema));
        self.executor.write(optimizer.control, &control)?;
        match self.step.exponent {
            Some(exponent) => self.executor.write(exponent, &[2.0 * (1.0 - share) as f32]),
            None => Ok(()),
        }
    }

    /// Sums the gradients of the first so many batches of the step.
    fn sum_batches(&mut self, sums: Accumulated, count: usize) -> Result<()> {
        for batch in 0..count {
            self.begin_batch(sums, batch)?;
            self.executor.run_nodes(0..self.nodes() - 1)?;
        }
        Ok(())
    }

    /// Has a batch of the step drawn, whose gradients are summed with those of the others.
    fn begin_batch(&mut self, sums: Accumulated, batch: usize) -> Result<()> {
        let share = self.part.share() / self.options.accumulate as f64;
        self.executor.write(sums.control, &[share as f32, f32::from(u8::from(batch == 0))])?;
        self.draw(batch)
    }

    /// Has this process's part of a batch of the step drawn.
    fn draw(&mut self, batch: usize) -> Result<()> {
        let (part, options) = (self.part, &self.options);
        if let Feed::Pictures(pictures, order) = &mut self.feed {
            if let Some(ring) = &mut self.ring {
                ring.bring_to(self.number, self.executor.as_mut(), *pictures, None)?;
            }
            let first = batch * part.of + part.first;
            let mut draw = vec![self.number as u32, options.seed, first as u32, 0];
            if let Some(order) = order {
                let whole =
                    order.triple(self.number * options.accumulate as u64 + batch as u64, options.augment.pictures(options.batch));
                draw.extend(&whole[2 * part.first..2 * (part.first + part.count)]);
            }
            self.executor.write_ints(pictures.draw, &draw)?;
        }
        Ok(())
    }

    /// Runs the backward pass of a batch up to each part of the gradients in turn, and sums that part over the team while the
    /// next is computed. The sums then replace the gradients and the loss on the device.
    fn sum_last_batch(&mut self, team: &mut dyn Team, sums: Accumulated, vote: Vote) -> Result<Vote> {
        let gradients = self.step.grads;
        let parts = summed_parts(&self.executor.plan().graph);
        let mut waiting = VecDeque::new();
        let mut done = 0;
        for (node, range) in &parts {
            self.executor.run_nodes(done..node + 1)?;
            done = node + 1;
            waiting.push_back(self.executor.read_range_later(gradients, range.clone())?);
            while let Some(&ticket) = waiting.front()
                && let Some(piece) = self.executor.take_read(ticket)?
            {
                team.begin_sum(piece)?;
                waiting.pop_front();
            }
        }
        self.executor.run_nodes(done..self.nodes() - 1)?;
        let loss = self.executor.plan().graph.view(sums.loss).storage;
        let ticket = self.executor.read_range_later(loss, 0..4)?;
        for ticket in waiting {
            let piece = self.wait_for(ticket)?;
            team.begin_sum(piece)?;
        }
        let own = self.wait_for(ticket)?;
        team.begin_sum(vote.to_floats(own[0], team.rank()))?;
        for (_, range) in parts {
            let sum = team.end_sum()?;
            self.executor.write_at(gradients, range.start, &sum)?;
        }
        let (loss_of_all, agreed) = Vote::of_floats(&team.end_sum()?);
        self.executor.write(loss, &[loss_of_all])?;
        Ok(agreed)
    }

    fn wait_for(&mut self, ticket: Ticket) -> Result<Vec<f32>> {
        loop {
            match self.executor.take_read(ticket)? {
                Some(data) => return Ok(data),
                None => thread::sleep(PAUSE),
            }
        }
    }
}
