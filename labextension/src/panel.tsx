import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React from 'react';
import { Announcer } from './announcer';
import { Computes } from './computes';
import { skyIcon } from './icon';
import { Notice } from './notice';
import type { ISkyTorchModel } from './tokens';

/** The sidebar. It looks at the model only while it is shown. */
export class SkyTorchPanel extends ReactWidget {
  constructor(private readonly _options: SkyTorchPanel.IOptions) {
    super();
    const { trans } = _options;
    this.id = SkyTorchPanel.ID;
    this.addClass('jp-SkyTorch');
    this.title.icon = skyIcon;
    this.title.caption = trans.__('SkyTorch');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('SkyTorch'));
  }

  render(): JSX.Element {
    const { model, open, trans } = this._options;
    return (
      <UseSignal signal={model.changed}>
        {() => (
          <>
            <h2 className="jp-SkyTorch-title">{trans.__('SkyTorch')}</h2>
            <Announcer computes={model.computes} trans={trans} />
            <Notice connection={model.connection} empty={model.computes.length === 0} trans={trans} />
            {isKnown(model) && <Computes model={model} open={open} trans={trans} />}
          </>
        )}
      </UseSignal>
    );
  }

  dispose(): void {
    this._look?.dispose();
    super.dispose();
  }

  protected onBeforeShow(msg: Message): void {
    super.onBeforeShow(msg);
    this._look ??= this._options.model.look();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._look?.dispose();
    this._look = null;
  }

  private _look: IDisposable | null = null;
}

/** Whether what the model has is still so, as far as anybody can tell. */
function isKnown(model: ISkyTorchModel): boolean {
  return model.connection.state !== 'mismatch' && model.connection.state !== 'offline';
}

export namespace SkyTorchPanel {
  export const ID = 'jupyter-skytorch-panel';

  export interface IOptions {
    model: ISkyTorchModel;
    /** Opens a notebook by its path. */
    open?: (path: string) => void;
    trans: TranslationBundle;
  }
}
