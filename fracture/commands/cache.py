"""`fracture cache`: show or clear the cache of decoded and demo images."""

import click

from fracture.progress import Terminal


@click.command("cache")
@click.option("--cache-dir", default="auto", show_default=True, help="as in training")
@click.option("--clear", is_flag=True, help="Delete the cache; it is rebuilt when needed.")
def command(cache_dir: str, clear: bool) -> None:
    """Show the folder and size of the cache of decoded and demo images; FRACTURE_CACHE_DIR moves it."""
    from fracture.data import cache  # a heavy import

    folder, terminal = cache.folder_of(cache_dir), Terminal()
    if clear:
        terminal.say(f"{folder}: {cache.clear(folder) / 2**20:.1f} MiB freed")
    files, size = cache.usage(folder)
    terminal.say(f"{folder}: {files} files, {size / 2**20:.1f} MiB")
