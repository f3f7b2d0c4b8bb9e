package session

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	pollEvery  = 2 * time.Second
	tendEvery  = 15 * time.Second
	closeLimit = 10 * time.Second
)

// Run does the store's work beside the requests until ctx ends or Close is
// called, and returns when all of it has stopped. It is called once.
func (s *Store) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.life.Lock()
	if s.closed || s.done != nil {
		s.life.Unlock()
		return
	}
	s.stop, s.done = cancel, make(chan struct{})
	s.life.Unlock()
	defer close(s.done)

	var work sync.WaitGroup
	work.Go(func() { s.repeat(ctx, "poll", pollEvery, s.poll) })
	work.Go(func() { s.repeat(ctx, "tend", tendEvery, s.tend) })
	work.Go(func() { s.repeat(ctx, "keyring", ringEvery, s.tendKeyring) })
	work.Go(func() { s.repeat(ctx, "sweep", sweepEvery, s.Sweep) })
	work.Go(func() { s.repeat(ctx, "seen", 0, s.writeSeen) })
	work.Wait()

	// The last chance for ends that storage could not take before.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeLimit/2)
	defer cancel()
	s.round(ctx, "settle", s.settle)
}

// Close stops Run and waits for it, for at most 10 seconds should storage not
// answer. It may be called more than once, and without Run.
func (s *Store) Close() {
	s.life.Lock()
	s.closed = true
	stop, done := s.stop, s.done
	s.life.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-done:
	case <-time.After(closeLimit):
		s.logger.Warn("session workers are still waiting for storage")
	}
}

// repeat calls work at intervals, or again and again if every is 0 and work
// waits by itself.
func (s *Store) repeat(ctx context.Context, name string, every time.Duration, work func(context.Context) error) {
	if every == 0 {
		for ctx.Err() == nil {
			s.round(ctx, name, work)
		}
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.round(ctx, name, work)
		}
	}
}

// round does one piece of work; a panic in a storage module ends that piece only.
func (s *Store) round(ctx context.Context, name string, work func(context.Context) error) {
	var err error
	func() {
		defer recovered(&err)
		err = work(ctx)
	}()
	if err != nil && ctx.Err() == nil {
		s.logger.Warn("session work was not done, it is tried again", zap.String("work", name), zap.Error(err))
	}
}
