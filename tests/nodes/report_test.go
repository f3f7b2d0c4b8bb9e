// What the soak saw, by fault, and what it makes of it.

package nodes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// figures are the counts for one fault.
type figures struct {
	times, requests, excused, refused, lost, writes, again, writesLost, doubled int
}

// report is the outcome of a soak.
type report struct {
	by                             map[string]*figures
	startGoroutines, endGoroutines int
	startHeap, endHeap             uint64
}

// begins notes that a fault begins.
func (w *soak) begins(f *fault) *episode {
	w.note("FAULT %s begins", f.name)
	e := &episode{fault: f, begin: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, e)
	w.figures(f.name).times++
	return e
}

// over notes that a fault is over.
func (w *soak) over(e *episode) {
	w.note("FAULT %s is over", e.fault.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	e.end = time.Now()
}

// figures returns the figures of a fault. It needs w.mu.
func (w *soak) figures(name string) *figures {
	if w.report.by[name] == nil {
		w.report.by[name] = new(figures)
	}
	return w.report.by[name]
}

// around returns what was away at some time since then, and the name of the
// last fault, "none" if there was none.
func (w *soak) around(since time.Time) (away needs, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name = "none"
	for _, e := range w.history {
		if e.end.IsZero() || e.end.Add(cmp.Or(e.fault.after, grace)).After(since) {
			away |= e.fault.takes
			name = e.fault.name
		}
	}
	return away, name
}

// quiet returns since when there is no fault, the zero time if there is one.
func (w *soak) quiet() (since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since = w.begun
	for _, e := range w.history {
		if e.end.IsZero() {
			return time.Time{}
		}
		if e.end.After(since) {
			since = e.end
		}
	}
	return since
}

// count changes the figures of what was going on since then.
func (w *soak) count(since time.Time, change func(*figures)) {
	_, name := w.around(since)
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.figures(name))
}

// judge checks the end of the soak.
func (w *soak) judge(players []*player) {
	stored := map[[2]string]int{}
	for _, save := range w.romm.Saves() {
		stored[save]++
	}
	for _, p := range players {
		p.settle()
		for save, since := range p.saves {
			switch n := stored[[2]string{p.account, save}]; {
			case n == 0:
				w.count(since, func(f *figures) { f.writesLost++ })
				w.note("LOST %s", save)
			case n > 1:
				w.count(since, func(f *figures) { f.doubled++ })
				w.note("DOUBLED %s, %d times", save, n)
			}
		}
	}
	if locked := w.storage.Locked(); len(locked) > 0 {
		w.Errorf("locks are held at the end: %q", locked)
	}
	w.Log(w.report.String())
	w.Logf("sessions in RomM at the end: %d, of %d players; documents in storage: %d", w.romm.Sessions(), len(players), len(w.storage.Keys("")))
	if w.report.endGoroutines > w.report.startGoroutines+20 {
		w.Errorf("%d goroutines at the start, %d at the end", w.report.startGoroutines, w.report.endGoroutines)
	}
	if w.report.endHeap > w.report.startHeap+64<<20 {
		w.Errorf("%d MiB of heap at the start, %d at the end", w.report.startHeap>>20, w.report.endHeap>>20)
	}
	for name, f := range w.report.by {
		if f.refused+f.lost+f.writesLost+f.doubled > 0 {
			w.Errorf("%s: %d requests refused without cause, %d sessions lost, %d writes lost, %d doubled", name, f.refused, f.lost, f.writesLost, f.doubled)
		}
	}
	if w.Failed() {
		w.Log(strings.Join(w.trace, "\n"))
	}
}

// String returns the figures as a table.
func (r *report) String() string {
	var b strings.Builder
	line := func(name string, f figures) {
		fmt.Fprintf(&b, "%-32s %6d %8d %8d %8d %6d %7d %6d %6d %7d\n", name, f.times, f.requests, f.excused, f.refused, f.lost, f.writes, f.again, f.writesLost, f.doubled)
	}
	fmt.Fprintf(&b, "\n%-32s %6s %8s %8s %8s %6s %7s %6s %6s %7s\n", "fault", "times", "requests", "excused", "refused", "lost", "writes", "again", "wlost", "doubled")
	var all figures
	for _, name := range slices.Sorted(maps.Keys(r.by)) {
		f := *r.by[name]
		line(name, f)
		all.times, all.requests, all.excused, all.refused = all.times+f.times, all.requests+f.requests, all.excused+f.excused, all.refused+f.refused
		all.lost, all.writes, all.again = all.lost+f.lost, all.writes+f.writes, all.again+f.again
		all.writesLost, all.doubled = all.writesLost+f.writesLost, all.doubled+f.doubled
	}
	line("all", all)
	fmt.Fprintf(&b, "goroutines %d -> %d, heap %.1f -> %.1f MiB", r.startGoroutines, r.endGoroutines, float64(r.startHeap)/(1<<20), float64(r.endHeap)/(1<<20))
	return b.String()
}
