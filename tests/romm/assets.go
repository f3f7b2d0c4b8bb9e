// Saves, states and play sessions, and the static files that nginx serves.

package romm

import (
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
)

const saveLimit = 512 << 20

func assetRoutes() []route {
	const read, write = "assets.read", "assets.write"
	return []route{
		{methods: "GET", pattern: "/api/saves", scope: read, serve: func(x *exchange) error { return x.listShelf(&x.saves) }},
		{methods: "POST", pattern: "/api/saves", scope: write, serve: func(x *exchange) error { return x.keep(&x.saves) }},
		{methods: "GET", pattern: "/api/saves/{id}/content", scope: read, serve: func(x *exchange) error { return x.fetch(&x.saves) }},
		{methods: "GET", pattern: "/api/states", scope: read, serve: func(x *exchange) error { return x.listShelf(&x.states) }},
		{methods: "POST", pattern: "/api/states", scope: write, serve: func(x *exchange) error { return x.keep(&x.states) }},
		{methods: "GET", pattern: "/api/states/{id}/content", scope: read, serve: func(x *exchange) error { return x.fetch(&x.states) }},
		{methods: "GET", pattern: "/api/netplay/list", scope: read, from: "4.5.0", serve: ok(map[string]any{})},
		{methods: "GET", pattern: "/api/raw/assets/{name}", scope: read, until: "5.0.0", serve: serveCover},
		{methods: "GET", pattern: "/api/play-sessions", scope: "roms.user.read", from: "4.9.0", serve: ok([]any{})},
		{methods: "POST", pattern: "/api/play-sessions", scope: "roms.user.write", from: "4.9.0", serve: (*exchange).recordPlay},
	}
}

// shelf holds the users' saves, or their states.
type shelf struct {
	mu    sync.Mutex
	items []shelfItem
}

type shelfItem struct {
	user string
	body []byte
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// add adds an item and returns its number, from 1.
func (s *shelf) add(item shelfItem) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, item)
	return len(s.items)
}

func (x *exchange) keep(s *shelf) error {
	body, err := io.ReadAll(http.MaxBytesReader(x.reply, x.r.Body, saveLimit))
	if err != nil {
		return detail{status: http.StatusRequestEntityTooLarge, text: "Request Entity Too Large"}
	}
	return x.json(http.StatusOK, map[string]any{"id": s.add(shelfItem{x.user.Username, body}), "file_size_bytes": len(body)})
}

func (x *exchange) listShelf(s *shelf) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []map[string]any{}
	for i, item := range s.items {
		if item.user == x.user.Username {
			list = append(list, map[string]any{"id": i + 1, "file_size_bytes": len(item.body)})
		}
	}
	return x.json(http.StatusOK, list)
}

func (x *exchange) fetch(s *shelf) error {
	id, err := x.id()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id < 1 || id > len(s.items) || s.items[id-1].user != x.user.Username {
		return errNotFound
	}
	x.reply.Header().Set("Content-Type", "application/octet-stream")
	_, err = x.reply.Write(s.items[id-1].body)
	return err
}

func (x *exchange) recordPlay() error {
	return x.json(http.StatusCreated, map[string]any{"device_id": x.deviceID})
}

// SaveCount returns the number of saves that reached RomM.
func (s *Server) SaveCount() int { return s.saves.count() }

// Saves returns the saves that reached RomM, each as its user and content.
func (s *Server) Saves() (all [][2]string) {
	s.saves.mu.Lock()
	defer s.saves.mu.Unlock()
	for _, item := range s.saves.items {
		all = append(all, [2]string{item.user, string(item.body)})
	}
	return all
}

const cover = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 80" width="60" height="80">` +
	`<rect width="60" height="80" rx="6" fill="#7c5cff"/><circle cx="30" cy="34" r="14" fill="#fff"/>` +
	`<rect x="14" y="60" width="32" height="6" rx="3" fill="#fff"/></svg>`

func serveCover(x *exchange) error {
	x.reply.Header().Set("Content-Type", "image/svg+xml")
	_, err := io.WriteString(x.reply, cover)
	return err
}

// serveAsset is nginx serving a directory, without session and cookies. Covers
// and manuals below /assets/romm/resources/ are public, and shared caches may
// store them.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "405 Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	body := cover
	switch path.Ext(r.URL.Path) {
	case ".js":
		header.Set("Content-Type", "text/javascript")
		body = "export {};\n"
	case ".css":
		header.Set("Content-Type", "text/css")
		body = ":root {}\n"
	case ".pdf":
		header.Set("Content-Type", "application/pdf")
		body = "%PDF-1.4\n"
	default:
		header.Set("Content-Type", "image/svg+xml")
	}
	http.ServeContent(w, r, "", pageTime, strings.NewReader(body))
}
