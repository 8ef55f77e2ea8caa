// The media playlist (RFC 8216) as the recorder writes it. Pure.

/**
 * `{init, chunks: [{uri, start, end}], ended}`; times in seconds of media time, addresses as they
 * stand, relative to the playlist's own. Media time is the sum of the lengths before: the recorder's
 * playlists keep every chunk from the first on.
 */
export function parsePlaylist(text) {
  if (!text.startsWith("#EXTM3U")) throw new Error("the playlist does not begin with #EXTM3U");
  const playlist = { init: null, chunks: [], ended: false };
  let length = null;
  let at = 0;
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line.startsWith("#EXTINF:")) {
      length = Number.parseFloat(line.slice(8));
    } else if (line.startsWith("#EXT-X-MAP:")) {
      const uri = /URI="([^"]+)"/.exec(line);
      if (uri) playlist.init = uri[1];
    } else if (line === "#EXT-X-ENDLIST") {
      playlist.ended = true;
    } else if (line !== "" && !line.startsWith("#") && length !== null) {
      playlist.chunks.push({ uri: line, start: at, end: at + length });
      at += length;
      length = null;
    }
  }
  return playlist;
}
