// Serves FerretDB with its SQLite backend for tests, on a loopback port and a folder, until its standard input ends.
//
// Arguments: folder, port (0: any that is free), and "as-it-is" to leave FerretDB as it is. Prints the port that it listens
// on. FerretDB is embedded: that has no telemetry, and no state outside the folder. What it wrote is not forced to disk: no
// test turns the machine off.
//
// FerretDB 1 finds what a command changes and then writes it, without a lock in between, so two commands at a time can
// both change what only one of them should. In MongoDB each change of a document is atomic. Commands therefore go to
// FerretDB one at a time, unless it is left as it is.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// Of every message: its length, this number included. https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
const headerBytes = 16
const mostBytes = 48_000_000

func main() {
	folder, port := os.Args[1], os.Args[2]
	var oneAtATime sync.Locker = &sync.Mutex{}
	if len(os.Args) > 3 && os.Args[3] == "as-it-is" {
		oneAtATime = noLock{}
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(slog.DiscardHandler),
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	address, err := url.Parse(server.MongoDBURI())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	go accept(listener, address.Host, oneAtATime)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = listener.Close()
	stop()
	<-ended
}

type noLock struct{}

func (noLock) Lock() {}

func (noLock) Unlock() {}

func accept(listener net.Listener, backend string, oneAtATime sync.Locker) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go forward(client, backend, oneAtATime)
	}
}

// Ends when either side does.
func forward(client net.Conn, backend string, oneAtATime sync.Locker) {
	defer client.Close()
	database, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer database.Close()
	for {
		command, err := readMessage(client)
		if err != nil {
			return
		}
		answer, err := ask(database, command, oneAtATime)
		if err != nil {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func ask(database net.Conn, command []byte, oneAtATime sync.Locker) ([]byte, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	if _, err := database.Write(command); err != nil {
		return nil, err
	}
	return readMessage(database)
}

func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	bytes := binary.LittleEndian.Uint32(length[:])
	if bytes < headerBytes || bytes > mostBytes {
		return nil, fmt.Errorf("a message of %d bytes", bytes)
	}
	message := make([]byte, bytes)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}
