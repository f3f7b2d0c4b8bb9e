// Platforms, ROMs, firmware and feeds, with downloads and uploads.

package romm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	romCount   = 3
	chunkLimit = 64 << 20
)

func libraryRoutes() []route {
	const get, read, roms, rom = "GET", "roms.read", "/api/roms", "/api/roms/{id}"
	routes := []route{ //nolint:prealloc // a table
		{methods: get, pattern: "/api/platforms", scope: "platforms.read", serve: ok([]map[string]any{{"id": 1, "slug": "nes", "rom_count": romCount}})},
		{methods: get, pattern: roms, scope: read, serve: (*exchange).listROMs},
		{methods: get, pattern: roms + "/download", scope: read, serve: (*exchange).content},
		{methods: get, pattern: roms + "/by-hash", scope: read, download: true, serve: (*exchange).firstROM},
		{methods: get, pattern: roms + "/by-metadata-provider", scope: read, download: true, serve: (*exchange).firstROM},
		{methods: "POST", pattern: roms + "/upload/start", scope: "roms.write", serve: ok(map[string]string{"upload_id": "upload"})},
		{methods: "PUT", pattern: roms + "/upload/{id}", scope: "roms.write", serve: (*exchange).uploadChunk},
		{methods: "POST", pattern: roms + "/upload/{id}/complete", scope: "roms.write", serve: ok(nil)},
		{methods: get, pattern: rom, scope: read, download: true, serve: (*exchange).oneROM},
		{methods: get, pattern: rom + "/simple", scope: read, download: true, serve: (*exchange).oneROM},
		{methods: "GET HEAD", pattern: rom + "/content/{name}", scope: read, download: true, serve: (*exchange).content},
		{methods: get, pattern: rom + "/files/content/{name}", scope: read, download: true, serve: (*exchange).content},
		{methods: get, pattern: "/api/romsfiles/{id}/content/{name}", scope: read, download: true, until: "4.0.0", serve: (*exchange).content},
		{methods: get, pattern: "/api/firmware", scope: "firmware.read", serve: ok([]map[string]any{{"id": 1, "file_name": "bios.bin"}})},
		{methods: get, pattern: "/api/firmware/{id}", scope: "firmware.read", download: true, serve: ok(map[string]any{"id": 1, "file_name": "bios.bin"})},
		{methods: "GET HEAD", pattern: "/api/firmware/{id}/content/{name}", scope: "firmware.read", download: true, serve: (*exchange).content},
		{methods: get, pattern: "/api/collections/virtual/{id}", scope: "collections.read", serve: (*exchange).virtualCollection},
		{methods: get, pattern: "/api/tinfoil/feed", until: "4.4.0", serve: (*exchange).feed},
		{methods: get, pattern: "/api/webrcade/feed", scope: read, download: true, until: "4.4.0", serve: (*exchange).feed},
		{methods: get, pattern: "/api/feeds/tinfoil", from: "4.4.0", serve: (*exchange).feed},
	}
	for _, pattern := range []string{
		"webrcade", "pkgi/{console}/{type}", "fpkgi/{slug}", "kekatsu/{slug}", "pkgj/{console}/{type}",
	} {
		routes = append(routes, route{
			methods: get, pattern: "/api/feeds/" + pattern, scope: read, download: true, from: "4.4.0", serve: (*exchange).feed,
		})
	}
	return routes
}

// virtualCollection answers for a collection that RomM makes up from metadata. Its
// ID is the base64 of its name, with the padding.
func (x *exchange) virtualCollection() error {
	name, err := base64.URLEncoding.DecodeString(x.params["id"])
	if err != nil {
		return errNotFound
	}
	return x.json(http.StatusOK, map[string]any{"id": x.params["id"], "name": string(name), "is_virtual": true})
}

func romJSON(id int) map[string]any {
	return map[string]any{
		"id": id, "name": fmt.Sprintf("Demo %d", id), "fs_name": "demo.nes", "platform_slug": "nes",
		"path_cover_small": fmt.Sprintf("/assets/romm/resources/roms/%d/cover/small.svg", id),
	}
}

// listROMs returns a page of ROMs, or before 4.0 an array of all.
func (x *exchange) listROMs() error {
	items := []map[string]any{}
	for id := 1; id <= romCount; id++ {
		items = append(items, romJSON(id))
	}
	if !x.version.atLeast(4, 0, 0) {
		return x.json(http.StatusOK, items)
	}
	return x.json(http.StatusOK, map[string]any{"items": items, "total": romCount, "limit": 50, "offset": 0})
}

func (x *exchange) firstROM() error { return x.json(http.StatusOK, romJSON(1)) }

func (x *exchange) oneROM() error {
	id, err := x.romID()
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, romJSON(id))
}

func (x *exchange) romID() (int, error) {
	id, err := x.id()
	if err == nil && (id < 1 || id > romCount) {
		err = detail{status: http.StatusNotFound, text: fmt.Sprintf("ROM with id '%d' not found", id)}
	}
	return id, err
}

// content sends a file. It supports Range, HEAD and conditional requests.
func (x *exchange) content() error {
	name := x.params["name"]
	if _, numbered := x.params["id"]; numbered {
		if _, err := x.romID(); err != nil {
			return err
		}
	} else {
		name = "roms.zip"
	}
	header := x.reply.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	header.Set("ETag", fmt.Sprintf(`"%x"`, x.options.ContentSize))
	http.ServeContent(x.reply, x.r, "", time.Time{}, Content(x.options.ContentSize))
	return nil
}

func (x *exchange) feed() error {
	return x.json(http.StatusOK, map[string]any{"files": []map[string]any{{
		"url": x.scheme() + "://" + x.r.Host + "/api/roms/1/files/content/demo.nes", "size": x.options.ContentSize,
	}}})
}

// uploadChunk counts the bytes of a chunk, which may have at most 64 MiB.
func (x *exchange) uploadChunk() error {
	n, err := io.Copy(io.Discard, http.MaxBytesReader(x.reply, x.r.Body, chunkLimit))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return detail{status: http.StatusRequestEntityTooLarge, text: "Request Entity Too Large"}
	}
	if err != nil {
		return err
	}
	x.uploaded.Add(n)
	return x.json(http.StatusOK, map[string]int64{"received": n})
}

// UploadedBytes returns the size of all ROM chunks that arrived, in bytes.
func (s *Server) UploadedBytes() int64 { return s.uploaded.Load() }

// Content returns a ROM of size bytes, which are generated as they are read.
func Content(size int64) io.ReadSeeker {
	return io.NewSectionReader(generated{}, 0, size)
}

// generated is an endless file. Each byte follows from its offset.
type generated struct{}

// ReadAt implements io.ReaderAt.
func (generated) ReadAt(p []byte, offset int64) (int, error) {
	for i := range p {
		at := offset + int64(i)
		p[i] = byte(at ^ at>>8 ^ at>>16) //nolint:gosec // only the low byte is needed
	}
	return len(p), nil
}
