// A stranger judges a log of ours: the packages note and tlog of Go's checksum database, as Debian ships them, read its
// checkpoint and tiles over HTTP and prove every entry. Arguments: URL and vkey of the log.
package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type tiles struct{ url string }

func get(url string) []byte {
	answer, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		log.Fatal(url, answer.Status, err)
	}
	return body
}

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		found = append(found, get(t.url+"/"+path))
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	url, vkey := os.Args[1], os.Args[2]
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		log.Fatal(err)
	}
	signed, err := note.Open(get(url+"/checkpoint"), note.VerifierList(verifier))
	if err != nil {
		log.Fatal(err)
	}
	lines := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || lines[0] != verifier.Name() {
		log.Fatal(lines, err)
	}
	var root tlog.Hash
	bytes, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(root[:], bytes) != len(root) {
		log.Fatal(lines, err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tiles{url})
	proved := 0
	for bundle := int64(0); bundle*256 < size; bundle++ {
		path := fmt.Sprintf("/tile/entries/%03d", bundle)
		if size-bundle*256 < 256 {
			path += fmt.Sprintf(".p/%d", size%256)
		}
		rest := get(url + path)
		for index := bundle * 256; len(rest) > 0; index++ {
			length := int(rest[0])<<8 | int(rest[1])
			leaf := tlog.RecordHash(rest[2 : 2+length])
			rest = rest[2+length:]
			if index%37 != 0 && index != size-1 {
				continue
			}
			proof, err := tlog.ProveRecord(size, index, reader)
			if err != nil {
				log.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, size, root, index, leaf); err != nil {
				log.Fatal(index, err)
			}
			proved++
		}
	}
	for _, old := range []int64{1, 2, size / 2, size - 1} {
		past, err := tlog.TreeHash(old, reader)
		if err != nil {
			log.Fatal(err)
		}
		proof, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			log.Fatal(err)
		}
		if err := tlog.CheckTree(proof, size, root, old, past); err != nil {
			log.Fatal(old, err)
		}
	}
	fmt.Println("sumdb proved", proved, "entries of a log of", size)
}
