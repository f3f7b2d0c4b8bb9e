// The soak: users at work while everything around the gates fails.

package nodes

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	standin "github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

var (
	soakFor = flag.Duration("soak", 10*time.Minute, "how long TestSoak goes on, by its own clock")
	only    = flag.String("fault", "", "the one fault that TestSoak injects; default: all of them")
)

const (
	soakUsers = 12
	// accessToken is how long the provider's access tokens live in the soak.
	accessToken = 6 * time.Minute
	// grace is how long after a fault requests may still fail for it.
	grace = 12 * time.Second
	// bound is how long after the last fault a save may wait to be accepted.
	bound = 20 * time.Second
)

// soak is the state of TestSoak beside the cluster.
type soak struct {
	*cluster
	dice   dice
	until  time.Time
	disk   map[string]fail
	steals bool
	change turn // taken while a fault begins or ends
	report report

	mu      sync.Mutex
	history []*episode
	trace   []string
}

// episode is one fault that happened.
type episode struct {
	fault      *fault
	begin, end time.Time // end is zero while it lasts
}

// note remembers what happened, to be shown if the test fails.
func (w *soak) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, time.Since(w.begun).Truncate(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
	w.trace = w.trace[max(0, len(w.trace)-4000):]
}

// Write implements io.Writer, for the gates' log.
func (w *soak) Write(line []byte) (int, error) {
	w.note("%s", line[:max(0, len(line)-1)])
	return len(line), nil
}

// Users keep their sessions and their saves, whatever fails around the gates,
// in any order, and are refused nothing that can be done.
func TestSoak(t *testing.T) {
	start := firstSeed(t)
	synctest.Test(t, func(t *testing.T) {
		users := make([]authelia.User, 0, soakUsers)
		for i := range soakUsers {
			name := fmt.Sprintf("user%d", i)
			users = append(users, authelia.User{Name: name, Password: name + "-password", Email: name + "@example.com", Groups: []string{"users"}})
		}
		w := &soak{dice: dice(start), until: time.Now().Add(*soakFor), disk: map[string]fail{}, change: make(turn, 1)}
		w.report.by = map[string]*figures{}
		w.cluster = newCluster(t, users)
		w.authelia.SetLifespans(authelia.Lifespans{AccessToken: accessToken, IDToken: accessToken, RefreshToken: 30 * 24 * time.Hour, Session: 30 * 24 * time.Hour})
		encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m", LevelKey: "l", EncodeLevel: zapcore.LowercaseLevelEncoder})
		w.logger = zap.New(zapcore.NewCore(encoder, zapcore.AddSync(w), zap.InfoLevel))
		for i := range w.nodes {
			w.restart(i) // with the logger
		}
		w.romm.AddUser(standin.User{Username: "root", Email: "root@example.com", Role: "admin", Password: "root-password"})
		players := make([]*player, 0, soakUsers)
		for i := range soakUsers {
			p := &player{soak: w, browser: w.browser(), dice: dice(start + uint64(i)*7919), name: users[i].Name, known: map[process]bool{}}
			p.signIn()
			players = append(players, p)
		}
		time.Sleep(time.Minute)
		w.report.startGoroutines, w.report.startHeap = size()
		var working sync.WaitGroup
		for _, p := range players {
			working.Go(p.play)
		}
		w.breakThings()
		working.Wait()
		time.Sleep(2 * time.Minute)
		w.romm.ForgetRequests()
		w.authelia.ForgetRequests()
		w.report.endGoroutines, w.report.endHeap = size()
		w.judge(players)
		for i := range w.nodes {
			w.at(i).end()
		}
	})
}

// size returns the goroutines and the bytes of heap in use.
func size() (goroutines int, heap uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

// turn is a mutex under which time passes: a bubble's clock stands still while a
// goroutine waits for a sync.Mutex.
type turn chan struct{}

func (t turn) do(work func()) {
	t <- struct{}{}
	defer func() { <-t }()
	work()
}

// breakThings injects one fault after the other, and sometimes two at once,
// until the time is over.
func (w *soak) breakThings() {
	var running sync.WaitGroup
	busy := make([]atomic.Bool, len(faults))
	for time.Until(w.until) > time.Minute {
		i := w.dice.roll(len(faults))
		if !w.fits(&faults[i]) {
			continue
		}
		if busy[i].Swap(true) {
			time.Sleep(time.Second)
			continue
		}
		length := time.Duration(1+w.dice.roll(40)) * time.Second
		e, pick := w.begins(&faults[i]), w.dice.roll(3)
		running.Go(func() {
			w.change.do(func() { faults[i].begin(w, pick) })
			if faults[i].end != nil {
				time.Sleep(length)
				w.change.do(func() { faults[i].end(w, pick) })
			}
			w.over(e)
			busy[i].Store(false)
		})
		if w.dice.roll(3) == 0 {
			time.Sleep(time.Duration(w.dice.roll(10)) * time.Second) // two at once
			continue
		}
		running.Wait()
		time.Sleep(time.Duration(5+w.dice.roll(40)) * time.Second)
		w.romm.ForgetRequests()
	}
	running.Wait()
	time.Sleep(time.Until(w.until))
}
