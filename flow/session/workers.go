// Background tasks: what a store does beside the requests, and when.

package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	pollEvery   = 2 * time.Second
	memoryEvery = 16 * time.Second
	closeLimit  = 10 * time.Second
)

// task is a named piece of background work.
type task struct {
	name string
	run  func(context.Context) error
}

// pollTasks run every two seconds, in this order. The first one finds out
// whether storage answers; the others wait until it does.
func (s *Store) pollTasks() []task {
	return []task{
		{"follow ends", s.followEnds},
		{"try reads", s.tryReads},
		{"catch up", s.whenReachable(s.catchUp)},
		{"reload keyring", s.whenReachable(s.reloadKeyring)},
		{"retry", s.whenReachable(s.retry)},
		{"tell other nodes of changed accounts", s.whenReachable(s.maintainDoubts)},
		{"try writes", s.tryWrites},
	}
}

// whenReachable skips run while there is no storage or it cannot be read. It does
// not skip it while storage cannot be written: the retries find out about that.
func (s *Store) whenReachable(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if s.vault.Load() == nil || s.health.reads.away() {
			return nil
		}
		return run(ctx)
	}
}

// Run runs the store's background tasks until ctx ends or Close is called, and
// returns when all of them have stopped. Call it once.
func (s *Store) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.lifecycle.Lock()
	if s.closed || s.done != nil {
		s.lifecycle.Unlock()
		return
	}
	s.stop, s.done = cancel, make(chan struct{})
	s.lifecycle.Unlock()
	defer close(s.done)

	var workers sync.WaitGroup
	s.schedule(ctx, &workers, append([]*job{
		{every: pollEvery, tasks: s.pollTasks()},
		{every: pollEvery, tasks: []task{{"write last uses", s.writeLastUses}}},
		{every: memoryEvery, tasks: []task{{"maintain memory", s.maintainMemory}}},
		{every: keyringEvery, tasks: []task{{"maintain keyring", s.maintainKeyring}}},
		{every: sweepEvery, tasks: []task{{WorkSweep, s.Sweep}}, atRest: true},
	}, s.jobs...))
	workers.Wait()

	// The last chance for ends that storage could not take before.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeLimit/2)
	defer cancel()
	s.attempt(ctx, task{"retry", s.retryAll})
	s.attempt(ctx, task{"tell other nodes of changed accounts", s.maintainDoubts})
}

// Close aborts all streams and transfers, now and from now on, stops Run and
// waits until it returns, at most 10 seconds if storage does not answer. The
// sessions do not end. It may be called more than once, and without Run.
func (s *Store) Close() {
	s.released.Store(true)
	s.memory.each(func(session *Session) { session.abortHolders() })
	s.lifecycle.Lock()
	s.closed = true
	stop, done := s.stop, s.done
	s.lifecycle.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-done:
	case <-time.After(closeLimit):
		s.logger.Warn("background tasks did not stop: storage does not answer")
	}
}

// job is tasks that run in order at each interval, a multiple of pollEvery.
type job struct {
	every  time.Duration
	tasks  []task
	atRest bool // it runs while the gate rests, too
	due    time.Time
	busy   atomic.Bool // they run
}

// start reports whether the job is due, and notes that it runs now.
func (j *job) start(now time.Time) bool {
	if now.Before(j.due) || !j.busy.CompareAndSwap(false, true) {
		return false
	}
	j.due = now.Add(j.every)
	return true
}

// Every adds work of the gate that is not the store's own. It runs at each interval,
// a multiple of 2 seconds, while the gate does not rest, and at once after a rest.
// Call Every before Run.
func (s *Store) Every(interval time.Duration, name string, run func(context.Context) error) {
	s.jobs = append(s.jobs, &job{every: interval, tasks: []task{{name, run}}})
}

// schedule starts the jobs that are due, each in a goroutine of workers and one
// run of it at a time, until ctx ends: a storage that hangs delays no other job.
func (s *Store) schedule(ctx context.Context, workers *sync.WaitGroup, jobs []*job) {
	used := time.Now()
	delay(jobs, used)
	next := time.NewTimer(pollEvery)
	defer next.Stop()
	for over := (<-chan struct{})(nil); ; next.Reset(untilDue(jobs, over != nil)) {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-over: // what happened meanwhile is to be known at once
			over, used = nil, time.Now()
			hurry(jobs, used)
		}
		now := time.Now()
		for _, j := range jobs {
			if (j.atRest || over == nil) && j.start(now) {
				workers.Go(func() {
					defer j.busy.Store(false)
					s.runJob(ctx, j)
				})
			}
		}
		switch {
		case over != nil:
		case s.rest.used.Swap(false) || s.busy():
			used = now
		case now.Sub(used) >= restAfter:
			over = s.lieDown()
		}
	}
}

// delay makes each job due after its interval.
func delay(jobs []*job, now time.Time) {
	for _, j := range jobs {
		j.due = now.Add(j.every)
	}
}

// hurry makes the jobs due that did not run during a rest.
func hurry(jobs []*job, now time.Time) {
	for _, j := range jobs {
		if !j.atRest {
			j.due = now
		}
	}
}

// untilDue returns when to look for jobs again.
func untilDue(jobs []*job, resting bool) time.Duration {
	if !resting {
		return pollEvery
	}
	wait := sweepEvery
	for _, j := range jobs {
		if j.atRest {
			wait = min(wait, max(pollEvery, time.Until(j.due)))
		}
	}
	return wait
}

func (s *Store) runJob(ctx context.Context, j *job) {
	for _, t := range j.tasks {
		if ctx.Err() == nil {
			s.attempt(ctx, t)
		}
	}
}

// attempt runs a task once and logs its failure, unless OnWork hears of that. A panic
// in a storage module ends that attempt only.
func (s *Store) attempt(ctx context.Context, t task) {
	var err error
	func() {
		defer recovered(&err)
		err = t.run(ctx)
	}()
	if t.name == WorkSweep && ctx.Err() == nil {
		s.workDone(WorkSweep, err)
		return
	}
	if err != nil && ctx.Err() == nil {
		level := zap.WarnLevel
		if s.Away() { // which has been said
			level = zap.DebugLevel
		}
		s.logger.Log(level, "background task failed, will retry", zap.String("task", t.name), zap.Error(err))
	}
}
